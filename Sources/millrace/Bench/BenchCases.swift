import Glibc
import Platform
import Synchronization

/// The cases of rate. Each prints a row for every server, with the median of its rounds.
struct BenchCases {
    let servers: [BenchServer]
    let rounds: Int
    let seconds: Int

    private struct Units {
        var count: Double
        var seconds: Double
    }

    // MARK: - Cases

    func singleRecords() throws(Failure) {
        for acks in ["leader", "all"] {
            for server in servers {
                guard let request = server.single(acks: acks) else { continue }
                let work = "1 record, 64 connections, acks=\(acks)"
                try produce(work, server, "single") { () throws(Failure) in
                    try load(server, request)
                }
            }
        }
    }

    func batches() throws(Failure) {
        for count in [100, 1000] {
            for server in servers {
                let topic = "batch-\(count)"
                guard let request = server.batch(topic, count: count) else { continue }
                let work = "\(count) records a request, 64 connections, acks=all"
                try produce(work, server, topic) { () throws(Failure) in
                    var units = try drive(server, request.bytes)
                    units.count *= Double(count)
                    return units
                }
            }
        }
    }

    /// Pages of 1,000 from the first offset on, each where the one before ended.
    func catchUp(_ records: Int) throws(Failure) {
        for server in servers {
            guard let batch = server.batch("history", count: 1000)?.bytes else { continue }
            let client = try BenchClient(port: server.port)
            for _ in 0..<(records / 1000) { try expect(200, client.exchange(batch).status, server) }
            try measure("catch-up of \(records) records, pages of 1,000", server) {
                () throws(Failure) in
                var byteCount = 0
                let started = SystemTime().now()
                for page in 0..<(records / 1000) {
                    guard let request = server.page(from: page * 1000) else { continue }
                    let answer = try client.exchange(request.bytes)
                    try expect(200, answer.status, server)
                    byteCount += answer.body.count
                }
                let elapsed = (SystemTime().now() - started).inSeconds
                guard byteCount > records / 1000 * 1000 * BenchServer.value.utf8.count else {
                    throw Failure("\(server.kind.name) did not answer all records")
                }
                return Units(count: Double(records), seconds: elapsed)
            }
        }
    }

    // MARK: - Load

    /// A case after which the server must hold what it acknowledged.
    private func produce(
        _ work: String, _ server: BenchServer, _ topic: String,
        _ round: () throws(Failure) -> Units
    ) throws(Failure) {
        let before = try server.stored(topic) ?? 0
        let sent = try measure(work, server, round)
        // acks=leader counts when it is on disk, and webdis mixes up the answers of requests whose
        // clients left (wrk does) with those of new ones.
        usleep(1_000_000)
        guard let after = try server.stored(topic) else { return }
        guard after - before >= sent else {
            throw Failure("\(server.kind.name) acknowledged \(sent), holds \(after - before)")
        }
    }

    /// Prints the medians of its rounds, and returns the records of all of them.
    @discardableResult
    private func measure(
        _ work: String, _ server: BenchServer, _ round: () throws(Failure) -> Units
    ) throws(Failure) -> Int {
        var (rates, costs): ([Double], [Double]) = ([], [])
        var total = 0
        for _ in 0..<rounds {
            let before = server.processorTime()
            let units = try round()
            costs.append((server.processorTime() - before) / max(1, units.count))
            rates.append(units.count / units.seconds)
            total += Int(units.count)
        }
        let cost = Double(Int(costs.sorted()[rounds / 2] * 100)) / 100
        printLine(
            "| \(work) | \(server.kind.name) | \(Int(rates.sorted()[rounds / 2])) records/s | "
                + "\(cost) µs/record |")
        return total
    }

    private func expect(_ wanted: Int, _ status: Int, _ server: BenchServer) throws(Failure) {
        if status != wanted { throw Failure("\(server.kind.name) answered \(status)") }
    }

    /// 64 connections by wrk, one thread; by our own client where wrk is not installed.
    private func load(_ server: BenchServer, _ request: BenchRequest) throws(Failure) -> Units {
        guard let wrk = Files.program("wrk") else {
            return try drive(server, request.bytes)
        }
        let script = "/tmp/millrace-bench-\(getpid()).lua"
        try Files.write(
            "wrk.method='\(request.method)'\nwrk.body=[==[\(request.body)]==]\n"
                + "wrk.headers['content-type']='application/json'\n",
            to: script)
        defer { unlink(script) }
        let client = try BenchProcess([
            wrk, "-t1", "-c64", "-d\(seconds)s", "-s", script,
            "http://127.0.0.1:\(server.port)\(request.path)",
        ])
        let report = client.readAll()
        client.wait()
        let lines = report.split(separator: "\n")
        guard !report.contains("Non-2xx"), !report.contains("Socket errors"),
            let line = lines.first(where: { $0.contains(" requests in ") }),
            let count = line.split(separator: " ").first.flatMap({ Double($0) })
        else { throw Failure("wrk failed: \(report)") }
        return Units(count: count, seconds: Double(seconds))
    }

    /// 64 threads that send the same request again and again; each waits for its last answer.
    private func drive(_ server: BenchServer, _ request: [UInt8]) throws(Failure) -> Units {
        let connections = 64
        let count = Atomic<Int>(0)
        let running = Atomic<Int>(connections)
        let failures = Atomic<Int>(0)
        let started = SystemTime().now()
        let end = started + .seconds(seconds)
        let port = server.port
        withoutActuallyEscaping({ @Sendable in
            defer { running.subtract(1, ordering: .sequentiallyConsistent) }
            guard let client = try? BenchClient(port: port) else {
                failures.add(1, ordering: .relaxed)
                return
            }
            while SystemTime().now() < end {
                guard let answer = try? client.exchange(request),
                    (200..<300).contains(answer.status)
                else {
                    failures.add(1, ordering: .relaxed)
                    return
                }
                count.add(1, ordering: .relaxed)
            }
        }) { worker in
            for _ in 0..<connections { startThread("bench", worker) }
            while running.load(ordering: .sequentiallyConsistent) > 0 { usleep(1000) }
        }
        guard failures.load(ordering: .relaxed) == 0 else { throw Failure("requests failed") }
        let elapsed = (SystemTime().now() - started).inSeconds
        return Units(count: Double(count.load(ordering: .relaxed)), seconds: elapsed)
    }
}

extension Duration {
    var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
