import Glibc
import Platform
import Synchronization

/// The cases of the bench. Each prints a row for every server, with the median of its rounds.
struct BenchCases {
    let millrace: BenchServer
    let nginx: BenchServer?
    let rounds: Int
    let seconds: Int

    private var servers: [BenchServer] { [millrace] + (nginx.map { [$0] } ?? []) }
    private let value =
        "{\"order\":123456,\"customer\":\"alice\",\"total\":42.5,\"items\":[\"a\",\"b\"],"
        + "\"note\":\"a record of about 120 bytes\"}"

    private struct Result {
        /// Per second.
        var rate: Double
        /// Microseconds of the server for one unit.
        var cost: Double
    }

    func prepare() throws(Failure) {
        let client = try BenchClient(port: millrace.port)
        for topic in ["single", "batches", "poll"] {
            let answer = try client.exchange(
                BenchClient.request("PUT", "/v1/topics/\(topic)", Array("{}".utf8)))
            guard answer.status == 201 else { throw Failure("PUT \(topic): \(answer.status)") }
        }
    }

    // MARK: - Cases

    func singleRecords() throws(Failure) {
        let body = Array("{\"records\":[{\"value\":\(value)}]}".utf8)
        for acks in ["leader", "all"] {
            let path = "/v1/topics/single/records?acks=\(acks)"
            for server in servers {
                let result = try median(server) { () throws(Failure) in
                    try load(server, BenchClient.request("POST", path, body), path, body)
                }
                row("1 record, 64 connections, acks=\(acks)", server, result, "record")
            }
        }
    }

    func batches() throws(Failure) {
        let request = batchRequest()
        for server in servers {
            let result = try median(server) { () throws(Failure) in
                try drive(server, connections: 8, request).map { $0 * 1000 }
            }
            row("1,000 records a request, 8 connections, acks=all", server, result, "record")
        }
    }

    /// Pages of 1,000 from the first offset on, each where the one before ended.
    func catchUp(_ records: Int) throws(Failure) {
        try fill(records)
        for server in servers {
            let result = try median(server) { () throws(Failure) in
                let client = try BenchClient(port: server.port)
                let started = SystemTime().now()
                for page in 0..<(records / 1000) {
                    let path =
                        "/v1/topics/batches/partitions/0/records?offset=\(page * 1000)&"
                        + "maxBytes=16000000"
                    let answer = try client.exchange(BenchClient.request("GET", path))
                    guard answer.status == 200 else {
                        throw Failure("GET \(path): \(answer.status)")
                    }
                }
                let elapsed = (SystemTime().now() - started).inSeconds
                return Units(count: Double(records), seconds: elapsed)
            }
            row("catch-up of \(records) records, pages of 1,000", server, result, "record")
        }
    }

    /// One consumer that long-polls, one producer that sends 100 a second: from just before the
    /// send to just after the page. For nginx: the round trip of a request at the same rate.
    func longPoll() throws(Failure) {
        for server in servers {
            let times = try server.name == "millrace" ? pollTimes() : roundTrips(server)
            let sorted = times.sorted()
            guard let last = sorted.last else { continue }
            let half = sorted[sorted.count / 2]
            let high = sorted[min(sorted.count - 1, sorted.count * 99 / 100)]
            printLine(
                "| long-poll latency at 100/s | \(server.name) | p50 \(Int(half)) µs, p99 "
                    + "\(Int(high)) µs, max \(Int(last)) µs | |"
            )
        }
    }

    // MARK: - Load

    private struct Units {
        var count: Double
        var seconds: Double
        func map(_ change: (Double) -> Double) -> Units {
            Units(count: change(count), seconds: seconds)
        }
    }

    private func median(
        _ server: BenchServer, _ round: () throws(Failure) -> Units
    ) throws(Failure) -> Result {
        var results: [Result] = []
        for _ in 0..<rounds {
            let before = server.process.processorTime()
            let units = try round()
            let cost = (server.process.processorTime() - before) / max(1, units.count)
            results.append(Result(rate: units.count / units.seconds, cost: cost))
        }
        return Result(
            rate: results.map(\.rate).sorted()[rounds / 2],
            cost: results.map(\.cost).sorted()[rounds / 2])
    }

    private func row(_ work: String, _ server: BenchServer, _ result: Result, _ unit: String) {
        let cost = Double(Int(result.cost * 100)) / 100
        printLine(
            "| \(work) | \(server.name) | \(Int(result.rate)) \(unit)s/s | \(cost) µs/\(unit) |")
    }

    /// 64 connections by wrk, one thread; by our own client where wrk is not installed.
    private func load(
        _ server: BenchServer, _ request: [UInt8], _ path: String, _ body: [UInt8]
    ) throws(Failure) -> Units {
        guard let wrk = Files.program("wrk") else {
            return try drive(server, connections: 64, request)
        }
        let script = "/tmp/millrace-bench-\(getpid()).lua"
        let text = String(decoding: body, as: UTF8.self)
        try Files.write(
            "wrk.method='POST'\nwrk.body=[==[\(text)]==]\n"
                + "wrk.headers['content-type']='application/json'\n",
            to: script)
        defer { unlink(script) }
        let client = try BenchProcess([
            wrk, "-t1", "-c64", "-d\(seconds)s", "-s", script,
            "http://127.0.0.1:\(server.port)\(path)",
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

    /// `connections` threads that send the same request again and again.
    private func drive(
        _ server: BenchServer, connections: Int, _ request: [UInt8]
    ) throws(Failure) -> Units {
        let count = Atomic<Int>(0)
        let running = Atomic<Int>(connections)
        let failures = Atomic<Int>(0)
        let end = SystemTime().now() + .seconds(seconds)
        let port = server.port
        withoutActuallyEscaping({ @Sendable in
            defer { running.subtract(1, ordering: .sequentiallyConsistent) }
            guard let client = try? BenchClient(port: port) else {
                failures.add(1, ordering: .relaxed)
                return
            }
            while SystemTime().now() < end {
                guard let answer = try? client.exchange(request), answer.status == 200 else {
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
        return Units(count: Double(count.load(ordering: .relaxed)), seconds: Double(seconds))
    }

    private func batchRequest() -> [UInt8] {
        let records = Array(repeating: "{\"value\":\(value)}", count: 1000).joined(separator: ",")
        return BenchClient.request(
            "POST", "/v1/topics/batches/records?acks=all", Array("{\"records\":[\(records)]}".utf8))
    }

    private func fill(_ records: Int) throws(Failure) {
        let client = try BenchClient(port: millrace.port)
        let request = batchRequest()
        for _ in 0..<(records / 1000) {
            let answer = try client.exchange(request)
            guard answer.status == 200 else { throw Failure("POST: \(answer.status)") }
        }
    }

    /// Microseconds from send to delivery of `seconds` × 100 records.
    private func pollTimes() throws(Failure) -> [Double] {
        let count = seconds * 100
        let sent = Mutex([Int64](repeating: 0, count: count))
        let port = millrace.port
        startThread("producer") {
            guard let producer = try? BenchClient(port: port) else { return }
            for index in 0..<count {
                usleep(10_000)
                sent.withLock { $0[index] = SystemTime().now().nanoseconds }
                let body = Array("{\"records\":[{\"value\":\(index)}]}".utf8)
                _ = try? producer.exchange(
                    BenchClient.request("POST", "/v1/topics/poll/records", body))
            }
        }
        let consumer = try BenchClient(port: port)
        var times: [Double] = []
        while times.count < count {
            let path = "/v1/topics/poll/partitions/0/records?offset=\(times.count)&waitMs=10000"
            let answer = try consumer.exchange(BenchClient.request("GET", path))
            let arrived = SystemTime().now().nanoseconds
            let delivered =
                String(decoding: answer.body, as: UTF8.self)
                .split(separator: "\"offset\":").count - 1
            guard answer.status == 200, delivered > 0 else {
                throw Failure("long-poll: \(answer.status)")
            }
            for _ in 0..<delivered {
                times.append(Double(arrived - sent.withLock { $0[times.count] }) / 1000)
            }
        }
        return times
    }

    private func roundTrips(_ server: BenchServer) throws(Failure) -> [Double] {
        let client = try BenchClient(port: server.port)
        var times: [Double] = []
        for _ in 0..<(seconds * 100) {
            usleep(10_000)
            let started = SystemTime().now().nanoseconds
            _ = try client.exchange(BenchClient.request("GET", "/"))
            times.append(Double(SystemTime().now().nanoseconds - started) / 1000)
        }
        return times
    }
}

extension Duration {
    var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
