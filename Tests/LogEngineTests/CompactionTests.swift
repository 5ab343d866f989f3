import LogEngine
import Platform
import TestSupport
import Testing

/// Compaction of one partition, step by step; `CompactionModelTests` has the random histories.
struct CompactionTests {
    @Test func `of each key the latest record stays, at its offset`() async throws {
        let bench = Bench.compacted()
        let partition = try bench.open()
        for round in 0..<5 {
            try await bench.store(
                (0..<4).map { Keyed("key \($0)", "value \(round)") }, in: partition)
        }
        try await bench.roll(partition)
        let before = try await partition.keyed()
        let end = partition.logEnd
        try await partition.compact(bench.settings())
        let after = try await partition.keyed()
        #expect(table(after) == table(before))
        for (offset, record) in after { #expect(before[offset] == record) }
        #expect(after.keys.filter { $0 < 20 }.sorted() == [16, 17, 18, 19])
        #expect(partition.logEnd == end && partition.logStart == Offset(0))
        #expect(partition.statistics.compactionPassCount == 1)
        #expect(partition.statistics.compactionRemovedBytes > 0)
    }

    /// Below half of it new, a second pass would cost more than it brings.
    @Test func `it waits until half of the closed bytes are not yet compacted`() async throws {
        let bench = Bench.compacted()
        let partition = try bench.open()
        for number in 0..<40 { try await bench.store([Keyed("\(number)", "v")], in: partition) }
        try await partition.compact(bench.settings())
        #expect(partition.statistics.compactionPassCount == 1)
        for number in 0..<10 { try await bench.store([Keyed("\(number)", "w")], in: partition) }
        try await partition.compact(bench.settings())
        #expect(partition.statistics.compactionPassCount == 1)
        for number in 0..<60 { try await bench.store([Keyed("\(number)", "x")], in: partition) }
        try await partition.compact(bench.settings())
        #expect(partition.statistics.compactionPassCount == 2)
    }

    @Test func `a map too small for all keys makes several passes with the same end`() async throws
    {
        for mapKeys in [1, 3, 7, 1000] {
            let bench = Bench.compacted()
            let partition = try bench.open()
            for round in 0..<6 {
                for number in 0..<20 {
                    try await bench.store([Keyed("\(number)", "\(round)")], in: partition)
                }
            }
            let before = table(try await partition.keyed())
            for _ in 0..<50 { try await partition.compact(bench.settings(mapKeys: mapKeys)) }
            let after = try await partition.keyed()
            #expect(table(after) == before)
            #expect(after.count < 120)
            #expect(partition.statistics.compactionPassCount > (mapKeys < 20 ? 1 : 0))
        }
    }

    /// Pitfall 14: neither too early nor never.
    @Test(arguments: [0, 10_413_792_000_000, Int64.min])
    func `a tombstone stays for its time after the pass, whatever its timestamp, and then goes`(
        timestamp: Int64
    ) async throws {
        let bench = Bench.compacted()
        var partition = try bench.open()
        try await bench.store([Keyed("a", "old"), Keyed("b", "kept")], in: partition)
        bench.time.advance(by: .seconds(100 * 3600))
        _ = try partition.append(batch([Keyed("a", nil)], timestamp: timestamp))
        try await bench.roll(partition)
        bench.time.advance(by: .seconds(100 * 3600))
        try await partition.compact(bench.settings())
        #expect(try await partition.keyed()[0] == nil)
        #expect(try await partition.keyed()[2] == Keyed("a", nil))
        bench.time.advance(by: .seconds(23 * 3600))
        try await partition.compact(bench.settings())
        try partition.close()
        partition = try bench.reopen()
        #expect(try await partition.keyed()[2] == Keyed("a", nil))
        bench.time.advance(by: .seconds(2 * 3600))
        try await partition.compact(bench.settings())
        let left = try await partition.keyed()
        #expect(left[2] == nil)
        #expect(left[1] == Keyed("b", "kept"))
        let passes = partition.statistics.compactionPassCount
        try await partition.compact(bench.settings())
        #expect(partition.statistics.compactionPassCount == passes)
    }

    /// The last batch of the range stays as a header, so that a reader in front of it gets on.
    @Test func `a log of which nothing is left still leads its readers to the end`() async throws {
        let bench = Bench.compacted(segmentBytes: 200)
        var partition = try bench.open()
        for number in 0..<20 { try await bench.store([Keyed("k", "\(number)")], in: partition) }
        for _ in 0..<8 { try await bench.store([Keyed("k", nil)], in: partition) }
        try await partition.compact(bench.settings())
        bench.time.advance(by: .seconds(25 * 3600))
        try await partition.compact(bench.settings())
        let end = partition.highWatermark
        for offset in 0..<end.value {
            let found = try await partition.keyed(from: offset, maxBytes: 1)
            #expect(table(found) == [:])
        }
        try partition.close()
        partition = try bench.reopen()
        #expect(partition.failure == nil && partition.logEnd == end)
        #expect(try await bench.store([Keyed("k", "new")], in: partition) == end)
        #expect(table(try await partition.keyed()) == ["k": "new"])
    }

    @Test func `records without a key are refused, and those from before stay`() async throws {
        var bench = Bench.compacted()
        bench.options.isCompacted = false
        let partition = try bench.open()
        try await bench.store(["no key"], in: partition)
        bench.options.isCompacted = true
        partition.configure(bench.options)
        do throws(LogError) {
            _ = try partition.append(batch(["no key"]))
            Issue.record("taken")
        } catch {
            guard case .recordWithoutKey = error else { throw error }
        }
        for number in 0..<20 { try await bench.store([Keyed("k", "\(number)")], in: partition) }
        try await partition.compact(bench.settings())
        #expect(try await partition.keyed()[0] == Keyed("", "no key"))
        #expect(try await partition.keyed()[1] == nil)
    }

    /// Only what is durable and no longer appended to.
    @Test func `the active segment is left alone, and what is not durable`() async throws {
        let bench = Bench.compacted()
        let partition = try bench.open()
        for number in 0..<30 { _ = try partition.append(batch([Keyed("k", "\(number)")])) }
        try await partition.compact(bench.settings())
        #expect(partition.statistics.compactionPassCount == 0)
        bench.settle()
        let active = Int64(try #require(try bench.bases().last))
        try await partition.compact(bench.settings())
        let kept = try await partition.keyed().keys.sorted()
        #expect(kept == [active - 1] + Array(active..<30))
    }

    /// Pitfall 13, KAFKA-2024, KAFKA-5413, KAFKA-6762.
    @Test func `segments more than 31 bits of offsets apart are not made one`() async throws {
        let bench = Bench.compacted(segmentBytes: 4000)
        try bench.disk.createDirectory(bench.directory)
        let far = Int(Int32.max) + 10
        for base in [0, 1, 2, far, far + 1] {
            bench.disk.setContent(bench.path(base), Self.stored([Keyed("\(base)", "v")], at: base))
        }
        let partition = try bench.open()
        #expect(partition.failure == nil)
        try await partition.compact(bench.settings())
        #expect(try bench.bases() == [0, 2, far, far + 1])
        let found = try await partition.keyed()
        #expect(found.keys.sorted() == [0, 1, 2, Int64(far), Int64(far) + 1])
        #expect(try await partition.keyed(from: 5).keys.sorted() == [Int64(far), Int64(far) + 1])
    }

    /// Kafka's checksum does not cover the base offset: where compaction left gaps, a flipped bit
    /// moved records to other offsets in silence (`millrace-sim log --seed 43103`).
    @Test func `no bit of a base offset can be flipped in silence`() async throws {
        let bench = Bench.compacted(segmentBytes: 2000)
        let partition = try bench.open()
        for key in ["a", "b", "b", "b", "a", "c", "c", "a", "b"] {
            try await bench.store([Keyed(key, key)], in: partition)
        }
        try await bench.roll(partition)
        try await partition.compact(bench.settings())
        let before = try await partition.keyed()
        #expect(before.keys.sorted().starts(with: [6, 7, 8]))
        try partition.close()
        let log = try #require(bench.disk.content(bench.path(0)))
        var start = 0
        while let header = RecordBatchHeader(log.span, at: start) {
            if start == 0 { #expect(header.nextOffset == 6 && header.recordCount == 0) }
            for bit in 0..<64 {
                var flipped = log
                flipped[start + bit / 8] ^= 1 << UInt8(bit % 8)
                bench.disk.setContent(bench.path(0), flipped)
                let partition = try bench.reopen()
                await #expect(throws: LogError.self) { try await partition.keyed() }
            }
            start += header.batchByteCount
        }
    }

    /// What idempotent produce finds again after a restart.
    @Test func `the last batch of a producer stays, at least its header`() async throws {
        let bench = Bench.compacted(segmentBytes: 4000)
        try bench.disk.createDirectory(bench.directory)
        var log: [UInt8] = []
        for number in 0..<6 {
            log += Self.stored([Keyed("k", "\(number)")], at: number, producer: Int64(number % 2))
        }
        bench.disk.setContent(bench.path(0), log)
        bench.disk.setContent(bench.path(6), Self.stored([Keyed("k", "end")], at: 6))
        bench.disk.setContent(bench.path(7), [])
        var partition = try bench.open()
        for _ in 0..<2 {
            try await partition.compact(bench.settings())
            let bytes = try await partition.read(from: Offset(0), maxBytes: 1 << 20)
            var headers: [RecordBatchHeader] = []
            var position = 0
            while let header = RecordBatchHeader(bytes.span, at: position) {
                headers.append(header)
                position += header.batchByteCount
            }
            #expect(headers.map(\.baseOffset) == [0, 4, 5, 6])
            #expect(headers.map(\.producerID) == [-1, 0, 1, -1])
            #expect(headers.map(\.producerEpoch) == [-1, 3, 3, -1])
            #expect(headers.map(\.baseSequence) == [-1, 4, 5, -1])
            #expect(headers.map(\.recordCount) == [0, 0, 0, 1])
            try partition.close()
            partition = try bench.reopen()
        }
    }

    /// A client that never repeats a key leaves a bounded number of emptied batches.
    @Test func `of producers and keys the latest stay only`() {
        var last = LastBatches(most: 3)
        let ids = [7, 8] + (0..<20).map { BatchIdentity.firstKeyID + $0 }
        let headers = ids.enumerated().compactMap { number, id in
            RecordBatchHeader(Self.stored([Keyed("k", "v")], at: number, producer: id).span)
        }
        for header in headers { last.note(header) }
        let kept = headers.filter { last.mustKeep($0) }.map(\.producerID)
        #expect(kept.starts(with: [7, 8]))
        #expect((5...7).contains(kept.count))
        #expect(kept.suffix(3) == ids.suffix(3))
    }

    @Test func `damage is not rewritten, and named once`() async throws {
        let bench = Bench.compacted()
        let partition = try bench.open()
        for number in 0..<30 { try await bench.store([Keyed("k", "\(number)")], in: partition) }
        var content = try #require(bench.disk.content(bench.path(0)))
        content[70] ^= 1
        bench.disk.setContent(bench.path(0), content)
        await #expect(throws: LogError.self) { try await partition.compact(bench.settings()) }
        #expect(bench.disk.content(bench.path(0)) == content)
        #expect(try !bench.disk.list(bench.directory).contains { $0.hasSuffix(".cleaned") })
        try await partition.compact(bench.settings())
        try await bench.store([Keyed("k", "next")], in: partition)
    }

    /// A batch as it stands on the disk, with a producer's numbers or without.
    private static func stored(
        _ records: [Keyed], at base: Int, producer: Int64 = -1
    ) -> [UInt8] {
        var bytes = batch(records).finish()
        bytes.setBigEndian(Int64(base), at: 0)
        if producer >= 0 {
            bytes.setBigEndian(producer, at: 43)
            (bytes[51], bytes[52]) = (0, 3)
            bytes.setBigEndian(UInt32(base), at: 53)
        }
        bytes.setBigEndian(crc32c(bytes.span.extracting(21..<bytes.count)), at: 17)
        return bytes
    }
}

/// The parts of it.
struct CompactionPartsTests {
    /// The reference implementation's vectors: key 00…0f, inputs 00…n.
    @Test func `a fingerprint is SipHash-2-4-128`() {
        let hash = KeyHash(low: 0x0706_0504_0302_0100, high: 0x0f0e_0d0c_0b0a_0908)
        let empty: [UInt8] = []
        let value = hash.hash(empty.span)
        #expect(value == KeyHash.Value(low: 0xe6a8_25ba_047f_81a3, high: 0x9302_55c7_1472_f66d))
        let one: [UInt8] = [0]
        let next = hash.hash(one.span)
        #expect(next == KeyHash.Value(low: 0x44af_996b_d8c1_87da, high: 0x45fc_229b_1159_7634))
        let fifteen = [UInt8](0..<15)
        #expect(
            hash.hash(fifteen.span)
                == KeyHash.Value(low: 0x11a8_b033_99e9_9354, high: 0xd9c3_cf97_0fec_087e))
    }

    @Test func `a map keeps the latest offset of each key until it is full`() {
        var random = SeededRandom(seed: 7)
        var map = OffsetMap(keyCount: 10_000, byteCount: 24 * 400)
        #expect(map.limit == 300)
        var model: [UInt64: Int64] = [:]
        for offset in 0..<2000 {
            let number = UInt64(random.below(400))
            let key = KeyHash.Value(low: number &* 400, high: number)
            let isTaken = map.insert(key, at: Int64(offset))
            #expect(isTaken == (model[number] != nil || model.count < 300))
            if isTaken { model[number] = Int64(offset) }
        }
        for number in UInt64(0)..<400 {
            #expect(map.latest(KeyHash.Value(low: number &* 400, high: number)) == model[number])
        }
        #expect(map.count == 300)
    }
}
