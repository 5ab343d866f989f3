import Backends
import Glibc
import GatewayAPI
import HTTPServer
import Logging
import Platform
import TestSupport
import Testing

/// The gateway on the embedded backend over a disk that crashes: one life of the program.
private final class Life {
    let backend: EmbeddedBackend
    let server: Server
    let port: UInt16
    private static let workers = WorkerPool(name: "crash", limit: 8)

    init(_ disk: SimulatedDisk) async throws {
        var options = EmbeddedBackend.Options()
        options.locksDirectory = false
        backend = EmbeddedBackend(
            "/data", disk: disk, time: SystemTime(), workers: Self.workers,
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            random: { UInt64.random(in: 0...(.max)) }, options: options)
        try await backend.start()
        let time = SystemTime()
        let gateway = Gateway(
            backend: backend, coordinator: GroupCoordinator(backend, time: time, random: { 7 }),
            configuration: GatewayConfiguration(), time: time)
        var listening = Server.Configuration()
        listening.port = 0
        listening.loopCount = 1
        server = Server(listening, handler: gateway, time: time)
        port = UInt16(try server.start().split(separator: ":").last!)!
    }

    deinit { server.stop() }

    func produce(_ body: String, key: String) -> ProduceHarness.Answer {
        let client = RawClient(port: port)
        let head =
            "POST /v1/topics/t/records HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            + "Content-Type: application/json\r\nIdempotency-Key: \(key)\r\n"
            + "Content-Length: \(body.utf8.count)\r\n\r\n"
        client.send(Array((head + body).utf8))
        return ProduceHarness.answer(client.receiveAll())
    }

    /// The values of all records of the topic, in no order that matters.
    func values() async throws -> [String] {
        let topic = try backend.topic("t")
        var values: [String] = []
        for partition in 0..<topic.partitionCount {
            var next = Offset(0)
            while true {
                let fetched = try await topic.read(partition, from: next, maxBytes: 1 << 20)
                guard !fetched.batches.isEmpty else { break }
                var reader = RecordBatchReader(fetched.batches)
                while let record = try reader.next() {
                    next = Offset(record.offset.value + 1)
                    values.append(
                        String(decoding: reader.bytes[record.value ?? 0..<0], as: UTF8.self))
                }
            }
        }
        return values
    }
}

/// Pitfall 46 over partitions: a request is cut by a crash at every operation on the disk.
@Suite struct IdempotentCrashTests {
    private static let records = 12
    private static let body: String = {
        let keyed = (0..<records - 2).map { #"{"key":"key \#($0)","value":\#($0)}"# }
        let others = (records - 2..<records).map { #"{"value":\#($0)}"# }
        return #"{"records":[\#((keyed + others).joined(separator: ","))]}"#
    }()

    private static func create(_ disk: SimulatedDisk) async throws -> Life {
        let life = try await Life(disk)
        _ = try await life.backend.createTopic(
            "t", partitionCount: 3, configuration: TopicConfiguration())
        return life
    }

    /// The next run; its topic has grown since.
    private static func restart(_ disk: SimulatedDisk) async throws -> Life {
        let life = try await Life(disk)
        var change = TopicChange()
        change.partitionCount = 5
        _ = try await life.backend.alterTopic("t", change)
        return life
    }

    @Test(arguments: [true, false])
    func `a request cut by a crash anywhere is completed once by its retry`(isPowerCut: Bool)
        async throws
    {
        var cuts = 0
        for step in 0..<60 {
            let disk = SimulatedDisk()
            var life = try await Self.create(disk)
            let before = disk.operationCount
            // The program is gone from this operation on. A sync that still gets through does no
            // harm; one that failed would lose what the cache shows, which a kill does not.
            disk.inject { operation, _, number in
                let mayPass = !isPowerCut && operation == .sync
                return number >= before + step && !mayPass ? .inputOutput : nil
            }
            let first = life.produce(Self.body, key: "k")
            life.server.stop()
            if isPowerCut { disk.crash(seed: UInt64(step)) } else { disk.kill() }

            life = try await Self.restart(disk)
            let found = try await life.values().count
            if found > 0, found < Self.records { cuts += 1 }
            let second = life.produce(Self.body, key: "k")
            #expect(second.status == 200, "step \(step): \(second)")
            #expect(second.head.contains("idempotent-replayed") == (found > 0), "step \(step)")
            if first.status == 200 { #expect(second.body == first.body, "step \(step)") }
            let wanted = (0..<Self.records).map(String.init).sorted()
            #expect(try await life.values().sorted() == wanted, "step \(step)")
            life.server.stop()
            disk.crash(seed: UInt64(step) + 1000)

            life = try await Life(disk)
            let third = life.produce(Self.body, key: "k")
            #expect(third.body == second.body, "step \(step)")
            #expect(third.head.contains("idempotent-replayed: true"))
            #expect(try await life.values().sorted() == wanted, "step \(step)")
            if first.status == 200 { break }
        }
        #expect(cuts > 0, "a request was cut between its partitions")
    }
}
