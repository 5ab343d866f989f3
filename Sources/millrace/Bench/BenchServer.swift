import Glibc
import Platform

/// A started server and where it listens: Millrace, or one it is compared with.
struct BenchServer: Sendable {
    enum Kind: CaseIterable {
        case millrace
        /// nginx answering a constant: what HTTP costs here, and nothing else.
        case constant
        /// HTTP in front of Redis streams, every append synced.
        case webdis
        /// The nginx module that delivers messages, held in memory.
        case nchan

        var name: String {
            switch self {
            case .millrace: "millrace"
            case .constant: "nginx (constant)"
            case .webdis: "webdis + Redis"
            case .nchan: "nchan"
            }
        }

        /// Debian's packages of it.
        var packages: String {
            switch self {
            case .millrace: ""
            case .constant: "nginx"
            case .webdis: "webdis redis-server"
            case .nchan: "nginx libnginx-mod-nchan"
            }
        }
    }

    let kind: Kind
    let processes: [BenchProcess]
    let port: UInt16

    /// Starts it with all its files in `directory`; nil where it is not installed.
    static func start(_ kind: Kind, in directory: String) throws(Failure) -> BenchServer? {
        let server =
            switch kind {
            case .millrace: try millrace(directory)
            case .constant: try nginx(directory, module: nil, locations: constantLocation)
            case .webdis: try webdis(directory)
            case .nchan: try nginx(directory, module: nchanModule, locations: nchanLocations)
            }
        guard let server else { return nil }
        for request in server.preparations {
            let answer = try BenchClient(port: server.port).exchange(request.bytes)
            guard (200..<300).contains(answer.status) else {
                server.stop()
                throw Failure("\(kind.name): \(request.path): \(answer.status)")
            }
        }
        return server
    }

    func stop() { for process in processes { process.stop() } }

    /// Microseconds of all its processes.
    func processorTime() -> Double { processes.map { $0.processorTime() }.reduce(0, +) }

    /// KiB of all its processes, what they share counted once.
    func memory() -> Double { processes.map { $0.memory() }.reduce(0, +) }

    // MARK: - Each kind

    private static func millrace(_ directory: String) throws(Failure) -> BenchServer {
        let program = try Files.thisProgram()
        let process = try BenchProcess([
            program, "serve", "--data", directory + "/data", "--listen", "127.0.0.1:0",
            "--log-level", "error", "--max-connections-per-address", "20000",
        ])
        let line = process.readLine()
        guard let port = line.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw Failure("the server did not start: \(line)")
        }
        return BenchServer(kind: .millrace, processes: [process], port: port)
    }

    private static func webdis(_ directory: String) throws(Failure) -> BenchServer? {
        guard let webdis = Files.program("webdis"), let redis = Files.program("redis-server") else {
            return nil
        }
        let (port, inner) = (try freePort(), try freePort())
        let configuration = """
            {"redis_host": "127.0.0.1", "redis_port": \(inner), "http_host": "127.0.0.1",
            "http_port": \(port), "threads": \(coreCount()), "daemonize": false, "database": 0,
            "verbosity": 0, "logfile": "\(directory)/webdis.log"}
            """
        try Files.write(configuration, to: directory + "/webdis.json")
        let store = try BenchProcess([
            redis, "--bind", "127.0.0.1", "--port", "\(inner)", "--dir", directory,
            "--appendonly", "yes", "--appendfsync", "always", "--save", "",
            "--auto-aof-rewrite-percentage", "0", "--loglevel", "warning",
        ])
        try waitUntilUp(inner, [store])
        let gateway = try BenchProcess([webdis, directory + "/webdis.json"])
        return try waitUntilUp(port, [gateway, store], .webdis)
    }

    private static let constantLocation = """
        location / { default_type application/json;
        return 200 '{"offsets":[{"partition":0,"offset":1234567}]}'; }
        """

    private static let nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

    private static let nchanLocations = """
        location = /status { nchan_stub_status; }
        location ~ ^/publish/(.+) { nchan_publisher; nchan_channel_id $1;
        nchan_message_buffer_length 1000; }
        location ~ ^/subscribe/(.+) { nchan_subscriber longpoll eventsource; nchan_channel_id $1; }
        """

    /// One worker per core, as we have loops.
    private static func nginx(
        _ directory: String, module: String?, locations: String
    ) throws(Failure) -> BenchServer? {
        guard let program = Files.program("nginx"), module.map({ access($0, R_OK) == 0 }) ?? true
        else { return nil }
        let port = try freePort()
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
            "\($0)_temp_path \(directory)/\($0);"
        }.joined(separator: " ")
        let configuration = """
            \(module.map { "load_module \($0);" } ?? "")
            daemon off; worker_processes \(coreCount());
            pid \(directory)/nginx.pid; error_log /dev/null;
            events { worker_connections 8192; }
            http { access_log off; keepalive_requests 1000000000;
            \(temporary)
            server { listen 127.0.0.1:\(port) reuseport; \(locations) } }
            """
        try Files.write(configuration, to: directory + "/nginx.conf")
        let process = try BenchProcess([program, "-c", directory + "/nginx.conf"])
        return try waitUntilUp(port, [process], module == nil ? .constant : .nchan)
    }

    /// A port that nobody listens on just now.
    private static func freePort() throws(Failure) -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 ? getsockname(descriptor, $0, &length) : -1
            }
        }
        guard status == 0 else { throw Failure("no free port: errno \(errno)") }
        return UInt16(bigEndian: address.sin_port)
    }

    @discardableResult
    private static func waitUntilUp(
        _ port: UInt16, _ processes: [BenchProcess], _ kind: Kind = .webdis
    ) throws(Failure) -> BenchServer {
        for _ in 0..<250 {
            if (try? BenchClient(port: port)) != nil {
                return BenchServer(kind: kind, processes: processes, port: port)
            }
            usleep(20_000)
        }
        for process in processes { process.stop() }
        throw Failure("\(kind.name) did not start")
    }
}
