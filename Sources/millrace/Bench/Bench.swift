import ArgumentParser
import Glibc
import Platform

/// `millrace bench`: first figures beside nginx, in one run on one machine.
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure this build beside nginx returning a constant; prints a Markdown table.",
        discussion: """
            Starts its own server on a temporary directory, and nginx where it is installed. \
            Single records are driven by wrk where it is installed. Figures are medians of rounds.
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
        let directory = try Files.temporaryDirectory()
        defer { Files.removeDirectory(directory) }
        let millrace = try BenchServer.millrace(data: directory + "/data")
        defer { millrace.process.stop() }
        if groups { return try BenchGroups(millrace).run() }
        let nginx = try BenchServer.nginx(in: directory)
        defer { nginx?.process.stop() }
        let cases = BenchCases(millrace: millrace, nginx: nginx, rounds: rounds, seconds: seconds)
        try cases.prepare()
        printLine("| Work | Server | Rate | Server CPU |")
        printLine("|---|---|---|---|")
        try cases.singleRecords()
        try cases.batches()
        try cases.catchUp(records)
        try cases.longPoll()
        try BenchGroups(millrace).run()
        if nginx == nil { printLine("\nnginx is not installed: nothing to compare with.") }
    }
}

/// A started server and where it listens.
struct BenchServer {
    var name: String
    var process: BenchProcess
    var port: UInt16

    static func millrace(data: String) throws(Failure) -> BenchServer {
        var path = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &path, path.count - 1)
        let program = String(
            decoding: path[..<max(0, length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let process = try BenchProcess([
            program, "serve", "--data", data, "--listen", "127.0.0.1:0", "--log-level", "error",
        ])
        let line = process.readLine()
        guard let port = line.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw Failure("the server did not start: \(line)")
        }
        return BenchServer(name: "millrace", process: process, port: port)
    }

    /// One worker per core, as we have loops, and a constant as its answer.
    static func nginx(in directory: String) throws(Failure) -> BenchServer? {
        guard let program = Files.program("nginx") else { return nil }
        let port = UInt16(40_000 + getpid() % 20_000)
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
            "\($0)_temp_path \(directory)/\($0);"
        }.joined(separator: " ")
        let configuration = """
            daemon off; worker_processes \(coreCount());
            pid \(directory)/nginx.pid; error_log /dev/null;
            events { worker_connections 4096; }
            http { access_log off; keepalive_requests 1000000000; client_max_body_size 64m;
            \(temporary)
            client_body_buffer_size 1m;
            server { listen 127.0.0.1:\(port) reuseport; location / { default_type application/json;
            return 200 '{"offsets":[{"partition":0,"offset":1234567}]}'; } } }
            """
        try Files.write(configuration, to: directory + "/nginx.conf")
        let process = try BenchProcess([program, "-c", directory + "/nginx.conf"])
        for _ in 0..<100 {
            if (try? BenchClient(port: port)) != nil {
                return BenchServer(name: "nginx (constant)", process: process, port: port)
            }
            usleep(20_000)
        }
        process.stop()
        throw Failure("nginx did not start")
    }
}
