import ArgumentParser
import Glibc
import Platform

/// `millrace bench`: figures beside those of others, in one run on one machine.
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure this build beside nginx, webdis + Redis and nchan; prints a table.",
        discussion: """
            Starts its own server and, where they are installed, those it is compared with, all in \
            a temporary directory. Single records are driven by wrk where it is installed. Figures \
            are medians of rounds. Debian's packages: nginx libnginx-mod-nchan webdis redis-server \
            wrk.
            """)

    @Option(help: "Rounds of each case; the median counts.")
    var rounds = 3

    @Option(help: "Seconds of each round.")
    var seconds = 3

    @Option(help: "Records of the catch-up read.")
    var records = 1_000_000

    @Flag(help: "Only the consumer groups: joins, polls and rebalances as they grow.")
    var groups = false

    func validate() throws {
        guard rounds >= 1, seconds >= 1, records >= 1000 else {
            throw ValidationError(
                "--rounds and --seconds must be at least 1, --records at least 1000.")
        }
    }

    func run() throws {
        Serve.raiseDescriptorLimit()
        let directory = try Files.temporaryDirectory()
        defer { Files.removeDirectory(directory) }
        let kinds: [BenchServer.Kind] = groups ? [.millrace] : BenchServer.Kind.allCases
        var servers: [BenchServer] = []
        defer { for server in servers { server.stop() } }
        for kind in kinds {
            if let server = try BenchServer.start(kind, in: directory) { servers.append(server) }
        }
        if !groups {
            try compare(servers)
            for kind in kinds where !servers.contains(where: { $0.kind == kind }) {
                printLine("\nWithout \(kind.name), which is not installed: \(kind.packages)")
            }
        }
        try BenchGroups(servers[0]).run()
    }

    private func compare(_ servers: [BenchServer]) throws(Failure) {
        printLine("| Work | Server | Rate or time | Cost at the server |")
        printLine("|---|---|---|---|")
        let cases = BenchCases(servers: servers, rounds: rounds, seconds: seconds)
        try cases.singleRecords()
        try cases.batches()
        try cases.catchUp(records)
        let delivery = BenchDelivery(servers: servers, rounds: rounds, seconds: seconds)
        try delivery.latency()
        for count in [1000, 5000] { try delivery.fanOut(count) }
    }
}
