import ArgumentParser
import Backends
import Glibc
import Logging
import Platform

/// `millrace serve`: options, wiring, and the life of the server from its first line to its drain.
struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve the gateway on a data directory.",
        discussion: """
            Every option can be set in the environment: --max-body-bytes as \
            MILLRACE_MAX_BODY_BYTES. An option wins over its variable.
            """)

    @Option(help: "Directory of the log; created if absent.")
    var data = "./millrace-data"

    @Option(help: "Address to listen on, HOST:PORT. Port 0 picks a free one.")
    var listen = "127.0.0.1:8080"

    @Flag(help: "Allow an address other than loopback without --access-file: anyone may do all.")
    var allowAnonymous = false

    @OptionGroup(title: "Access")
    var access: AccessOptions

    @Option(help: "Largest request body in bytes (NDJSON: largest line).")
    var maxBodyBytes = 16 << 20

    @Option(help: "Longest wait of a long-poll in milliseconds.")
    var maxWaitMs: Int64 = 60_000

    @Option(help: "Create an unknown topic on its first produce, with this many partitions.")
    var autoCreatePartitions: Int?

    @Option(
        help: "A JSON line a request: stderr, a file, changes (of topics and groups only), off.")
    var accessLog = "changes"

    @Option(help: "Event loops; 0: one for each core the process may run on.")
    var loops = 0

    @Option(help: "Most connections open at a time.")
    var maxConnections = 20_000

    @Option(help: "Most connections of one address; unless given, half of all and at least 1000.")
    var maxConnectionsPerAddress: Int?

    @Option(help: "Most bytes of bodies and unsent answers, of all connections together.")
    var maxBufferedBytes = 1 << 30

    @Option(
        help: "How fast sealed segments are read in search of damage, in bytes a second; 0: never.")
    var scrubBytesPerSecond: Int64 = 8 << 20

    @Option(help: "How long a drain waits for requests under way, in milliseconds.")
    var drainTimeoutMs: Int64 = 10_000

    @Option(help: "Least level of log lines: trace, debug, info, notice, warning, error, critical.")
    var logLevel = "info"

    /// The options that have a variable, each as it is written.
    static let flags =
        [
            "--data", "--listen", "--max-body-bytes", "--max-wait-ms",
            "--auto-create-partitions",
            "--access-log", "--loops", "--max-connections", "--max-connections-per-address",
            "--max-buffered-bytes", "--drain-timeout-ms", "--log-level", "--scrub-bytes-per-second",
        ] + AccessOptions.flags
    /// Those without a value; their variables say `true` or `false`.
    static let switches = ["--allow-anonymous"] + AccessOptions.switches

    func validate() throws {
        _ = try address()
        func check(_ isRight: Bool, _ rule: String) throws {
            if !isRight { throw ValidationError(rule) }
        }
        try check(maxBodyBytes > 0, "--max-body-bytes must be at least 1.")
        try check(maxWaitMs >= 0, "--max-wait-ms must not be negative.")
        let partitions = 1...Backends.Limits.partitionsPerTopic
        try check(
            partitions.contains(autoCreatePartitions ?? 1),
            "--auto-create-partitions must be from 1 to \(partitions.upperBound).")
        try check((0...256).contains(loops), "--loops must be from 0 to 256.")
        try check(maxConnections >= 1, "--max-connections must be at least 1.")
        try check(
            (maxConnectionsPerAddress ?? 1) >= 1,
            "--max-connections-per-address must be at least 1.")
        try check(maxBufferedBytes >= 1, "--max-buffered-bytes must be at least 1.")
        try check(
            Logger.Level(rawValue: logLevel) != nil,
            "--log-level must be trace, debug, info, notice, warning, error or critical.")
        try check(drainTimeoutMs >= 0, "--drain-timeout-ms must not be negative.")
    }

    private func address() throws -> (host: String, port: UInt16) {
        guard let colon = listen.lastIndex(of: ":"),
            let port = UInt16(listen[listen.index(after: colon)...])
        else { throw ValidationError("--listen must be HOST:PORT, such as 127.0.0.1:8080.") }
        var host = String(listen[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard !host.isEmpty else {
            throw ValidationError("--listen must be HOST:PORT, with a host.")
        }
        return (host, port)
    }
}

// MARK: - Its life

extension Serve {
    func run() throws {
        Signals.block()
        setUpMemory()
        let descriptorLimit = Self.raiseDescriptorLimit()
        let level = Logger.Level(rawValue: logLevel) ?? .info
        LoggingSystem.bootstrap { label in
            var log = LineLog(label: label)
            log.logLevel = level
            return log
        }
        let address = try address()
        guard
            allowAnonymous || access.accessFile != nil || AccessOptions.isLoopback(address.host)
        else {
            throw Failure(
                "\(address.host) can be reached by others, and authentication is off: anyone could "
                    + "read and write. Listen on 127.0.0.1, give --access-file (see `millrace "
                    + "token create`), or say --allow-anonymous.")
        }
        let service = try Service(
            self, host: address.host, port: address.port, descriptorLimit: descriptorLimit)
        Task {
            do throws(Failure) {
                try await service.run()
                Glibc.exit(0)
            } catch {
                error.exit()
            }
        }
        // The main thread has nothing else to do.
        var endings = 0
        while endings < 2 {
            switch Signals.wait() {
            case .reload: service.reload()
            case .end:
                endings += 1
                service.terminate()
            }
        }
        Glibc._exit(1)
    }

    /// Segments and connections each hold a descriptor: take as many as the system allows. Returns
    /// how many that is.
    @discardableResult
    static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(resource, &limit) == 0 else { return 1024 }
        let before = limit.rlim_cur
        limit.rlim_cur = limit.rlim_max
        return Int(clamping: setrlimit(resource, &limit) == 0 ? limit.rlim_cur : before)
    }
}
