import Glibc
import Platform
import Synchronization

/// From just before a record is sent to just after those who wait for it have it.
struct BenchDelivery {
    let servers: [BenchServer]
    let rounds: Int
    let seconds: Int

    /// One consumer, and one producer that sends 100 records a second.
    func latency() throws(Failure) {
        for server in servers {
            guard server.publish("poll", "") != nil else { continue }
            let client = try BenchClient(port: server.port)
            try times("long-poll", server, "poll") { (received) throws(Failure) in
                guard let poll = server.poll("poll", received, client) else { return [] }
                return try client.exchange(poll.bytes).body
            }
        }
        for server in servers {
            guard let stream = server.stream("stream") else { continue }
            let client = try BenchClient(port: server.port)
            try client.send(stream.bytes)
            try times("SSE", server, "stream") { (_) throws(Failure) in try client.receiveSome() }
        }
    }

    /// `count` clients wait in long-polls for one record. Each server is a fresh one, so that its
    /// memory is that of the clients.
    func fanOut(_ count: Int) throws(Failure) {
        for kind in servers.map(\.kind) {
            let directory = try Files.temporaryDirectory()
            defer { Files.removeDirectory(directory) }
            guard let server = try BenchServer.start(kind, in: directory) else { continue }
            defer { server.stop() }
            guard server.publish("crowd", "") != nil else { continue }
            try round(server, "poll", 0, [BenchClient(port: server.port)])
            let before = server.memory()
            var clients: [BenchClient] = []
            for _ in 0..<count {
                clients.append(try BenchClient(port: server.port, bufferByteCount: 4096))
            }
            var rows: [(time: Int64, memory: Double)] = []
            for offset in 0..<rounds { rows.append(try round(server, "crowd", offset, clients)) }
            let time = rows.map(\.time).sorted()[rounds / 2]
            let memory = rows.map(\.memory).sorted()[rounds / 2] - before
            printLine(
                "| fan-out to \(count) long-polls | \(kind.name) | last has it after \(time) µs | "
                    + "\(Double(Int(memory / Double(count) * 10)) / 10) KiB/waiter |")
        }
    }

    /// All wait; then one record is sent. The time until the last has it, in microseconds, and the
    /// server's memory while they waited.
    @discardableResult
    private func round(
        _ server: BenchServer, _ topic: String, _ offset: Int, _ clients: [BenchClient]
    ) throws(Failure) -> (time: Int64, memory: Double) {
        for client in clients {
            guard let poll = server.poll(topic, offset, client) else { continue }
            try client.send(poll.bytes)
        }
        usleep(1_000_000)
        let memory = server.memory()
        guard let record = server.publish(topic, "{\"n\":\(offset)}") else { return (0, 0) }
        let producer = try BenchClient(port: server.port)
        let started = SystemTime().now().nanoseconds
        try producer.send(record.bytes)
        for client in clients { try client.waitForAnswer() }
        let time = (SystemTime().now().nanoseconds - started) / 1000
        for client in clients {
            let answer = try client.receive()
            guard numbers(after: "{\"n\":", in: answer.body) == [offset] else {
                throw Failure("\(server.kind.name) answered a waiting client \(answer.status)")
            }
        }
        return (time, memory)
    }

    /// Prints the row of a consumer; `next` gives it the bytes that come after so many records.
    private func times(
        _ way: String, _ server: BenchServer, _ topic: String,
        _ next: (Int) throws(Failure) -> ArraySlice<UInt8>
    ) throws(Failure) {
        let count = rounds * seconds * 100
        let sent = Mutex([Int64](repeating: 0, count: count))
        startThread("producer") {
            guard let producer = try? BenchClient(port: server.port) else { return }
            for index in 0..<count {
                usleep(10_000)
                guard let record = server.publish(topic, "{\"n\":\(index)}")?.bytes else { return }
                sent.withLock { $0[index] = SystemTime().now().nanoseconds }
                _ = try? producer.exchange(record)
            }
        }
        var times: [Int64] = []
        while times.count < count {
            let bytes = try next(times.count)
            let arrived = SystemTime().now().nanoseconds
            for index in numbers(after: "{\"n\":", in: bytes) {
                times.append((arrived - sent.withLock { $0[index] }) / 1000)
            }
        }
        times.sort()
        printLine(
            "| \(way) latency at 100/s | \(server.kind.name) | p50 \(times[count / 2]) µs, "
                + "p99 \(times[count * 99 / 100]) µs, max \(times[count - 1]) µs | |")
    }
}
