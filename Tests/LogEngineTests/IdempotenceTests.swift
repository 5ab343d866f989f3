import LogEngine
import Platform
import TestSupport
import Testing

/// The table of producers and keys beside the log it stands in: over crashes, retention and lost
/// files.
struct IdempotenceTests {
    private static func rules(_ number: Int, key isKey: Bool) -> AppendRules {
        let identity: BatchIdentity =
            isKey
            ? .key(
                KeyStamp(
                    id: BatchIdentity.firstKeyID + Int64(number), partitionCount: 1,
                    fingerprint: Int32(number), firstTried: 1_600_000_000_000))
            : .producer(ProducerSequence(id: 3, epoch: 1, sequence: Int32(number)))
        return AppendRules(identity: identity)
    }

    private static func keyed(_ values: [String]) -> RecordBatchBuilder {
        var builder = RecordBatchBuilder(baseTimestamp: 1_600_000_000_000)
        for value in values {
            builder.append(
                timestamp: 1_700_000_000_000, key: nil, value: Array(value.utf8).span)
        }
        return builder
    }

    /// Appends record `number` of both kinds, at offsets `2 * number` and the next.
    private static func store(_ number: Int, in partition: Partition, _ bench: Bench) async throws {
        for isKey in [false, true] {
            let appended = try partition.append(
                keyed(["value \(number)"]), under: rules(number, key: isKey))
            #expect(!appended.isReplay)
            #expect(appended.offset == Offset(Int64(2 * number + (isKey ? 1 : 0))))
        }
        bench.settle()
        try await partition.durable(before: Offset(Int64(2 * number + 2)))
    }

    /// Pitfalls 45 and 46: all that was stored is recognised, at its old offset, and goes on.
    private static func expectKnown(
        _ count: Int, in partition: Partition, _ comment: Comment
    ) throws {
        let end = partition.logEnd
        for number in 0..<count {
            let key = try partition.append(keyed(["x"]), under: rules(number, key: true))
            #expect(key.isReplay && key.offset == Offset(Int64(2 * number + 1)), comment)
        }
        for number in max(0, count - 5)..<count {
            let sent = try partition.append(keyed(["x"]), under: rules(number, key: false))
            #expect(sent.isReplay && sent.offset == Offset(Int64(2 * number)), comment)
        }
        #expect(partition.logEnd == end, comment)
        let next = try partition.append(keyed(["next"]), under: rules(count, key: false))
        #expect(!next.isReplay && next.offset == end, comment)
    }

    private static func filled(
        _ count: Int, segmentBytes: Int64 = 600, isClean: Bool
    ) async throws -> Bench {
        var bench = Bench()
        bench.options.segmentBytes = segmentBytes
        let partition = try bench.open()
        for number in 0..<count { try await store(number, in: partition, bench) }
        if isClean { try partition.close() }
        return bench
    }

    @Test(arguments: [true, false], [600, 1 << 20] as [Int64])
    func `what was acknowledged is recognised after a restart`(
        isClean: Bool, segmentBytes: Int64
    ) async throws {
        let bench = try await Self.filled(12, segmentBytes: segmentBytes, isClean: isClean)
        bench.disk.kill()
        try Self.expectKnown(12, in: try bench.open(), "\(isClean) \(segmentBytes)")
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func `what was acknowledged is recognised after a power cut`(seed: UInt64) async throws {
        let bench = try await Self.filled(Int(seed % 17), isClean: seed % 5 == 0)
        bench.disk.crash(seed: seed)
        try Self.expectKnown(Int(seed % 17), in: try bench.open(), "\(seed)")
    }

    @Test(arguments: ["missing", "empty", "flipped", "of the past"])
    func `a snapshot that is lost or damaged is made anew from the log`(damage: String)
        async throws
    {
        for isClean in [true, false] {
            let bench = try await Self.filled(12, isClean: isClean)
            bench.disk.kill()
            let path = bench.directory + "/producers"
            let bytes = try #require(bench.disk.content(path))
            switch damage {
            case "missing": try bench.disk.remove(path)
            case "empty": bench.disk.setContent(path, [])
            case "of the past":
                let early = try await Self.filled(3, isClean: true)
                let old = try #require(early.disk.content(path))
                bench.disk.setContent(path, old)
            default:
                var bytes = bytes
                bytes[bytes.count / 2] ^= 1
                bench.disk.setContent(path, bytes)
            }
            try Self.expectKnown(12, in: try bench.open(), "\(damage) \(isClean)")
        }
    }

    /// Every bit of a snapshot flipped: it is not believed, and the log says the same.
    @Test func `no flipped bit of a snapshot changes an answer`() async throws {
        let bench = try await Self.filled(2, isClean: true)
        bench.disk.kill()
        let path = bench.directory + "/producers"
        let bytes = try #require(bench.disk.content(path))
        let files = try bench.disk.list(bench.directory).map {
            (bench.directory + "/" + $0, bench.disk.content(bench.directory + "/" + $0) ?? [])
        }
        for bit in 0..<bytes.count * 8 {
            for (name, content) in files { bench.disk.setContent(name, content) }
            var damaged = bytes
            damaged[bit / 8] ^= 1 << UInt8(bit % 8)
            bench.disk.setContent(path, damaged)
            try Self.expectKnown(2, in: try bench.open(), "bit \(bit)")
            bench.disk.kill()
        }
    }

    @Test(arguments: [true, false])
    func `retention takes records and not the memory of them`(isClean: Bool) async throws {
        let bench = try await Self.filled(12, isClean: false)
        bench.disk.kill()
        let partition = try bench.open()
        bench.settle()
        _ = try await partition.deleteRecords(before: Offset(20))
        #expect(try bench.bases().first ?? 0 > 0)
        if isClean { try partition.close() }
        bench.disk.kill()
        try Self.expectKnown(12, in: try bench.open(), "\(isClean)")
    }

    @Test func `an append that failed leaves no memory of it`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        try await Self.store(0, in: partition, bench)
        bench.disk.inject { operation, _, _ in operation == .write ? .noSpace : nil }
        #expect(throws: LogError.self) {
            _ = try partition.append(Self.keyed(["a"]), under: Self.rules(1, key: true))
        }
        bench.disk.inject(nil)
        let second = try partition.append(Self.keyed(["a"]), under: Self.rules(1, key: true))
        #expect(!second.isReplay && second.offset == Offset(2))
    }

    @Test func `records read back with their own timestamps, whatever the base says`()
        async throws
    {
        let bench = try await Self.filled(1, isClean: false)
        let partition = try bench.reopen()
        var reader = RecordBatchReader(try await partition.read(from: Offset(0), maxBytes: 1 << 20))
        while let record = try reader.next() { #expect(record.timestamp == 1_700_000_000_000) }
    }

    @Test func `an end offset is met or refused with the right one`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        try await bench.store(["a", "b"], in: partition)
        for wrong in [0, 1, 3] as [Int64] {
            #expect(throws: LogError.self) {
                _ = try partition.append(
                    batch(["c"]), under: AppendRules(endOffset: Offset(wrong)))
            }
        }
        let appended = try partition.append(
            batch(["c"]), under: AppendRules(endOffset: Offset(2)))
        #expect(appended.offset == Offset(2))
        #expect(partition.logEnd == Offset(3))
    }

    @Test func `100,000 keys that never come again are not all kept`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        for number in 0..<100_000 {
            _ = try partition.append(
                Self.keyed(["v"]), under: Self.rules(number, key: true), isAwaited: false)
        }
        bench.settle()
        #expect(10_000...12_500 ~= partition.identityCounts.keys)
        let last = try partition.append(Self.keyed(["v"]), under: Self.rules(99_999, key: true))
        #expect(last.isReplay)
    }
}
