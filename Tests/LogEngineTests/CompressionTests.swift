import LogEngine
import Platform
import TestSupport
import Testing

/// gzip batches, Kafka's codec 1: written, read, and refused where they are not what they should be.
struct CompressionTests {
    private static let text = (0..<40).map { "value \($0 % 3) of a text that repeats itself" }

    private static func bench() -> Bench {
        var bench = Bench()
        bench.options.compressionType = .gzip
        return bench
    }

    @Test func `a batch is stored compressed and read as it was appended`() async throws {
        let bench = Self.bench()
        var partition = try bench.open()
        for _ in 0..<5 { try await bench.store(Self.text, in: partition) }
        let bytes = try #require(bench.disk.content(bench.path(0)))
        let header = try Self.header(bytes)
        #expect(header.codec == .gzip && header.recordCount == 40)
        #expect(bytes.count < 5 * 40 * 20)
        for isClean in [true, false] {
            let found = try await partition.values(maxBytes: 1)
            #expect(
                found.sorted { $0.key < $1.key }.map(\.value) == (0..<5).flatMap { _ in Self.text })
            #expect(try await partition.offset(atOrAfter: 0) == Offset(0))
            if isClean { try partition.close() }
            bench.disk.kill()
            partition = try bench.reopen()
        }
    }

    @Test func `what does not get smaller is stored as it is`() async throws {
        let bench = Self.bench()
        let partition = try bench.open()
        var random = SeededRandom(seed: 1)
        let noise = (0..<1000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        var builder = RecordBatchBuilder()
        builder.append(timestamp: 1, key: nil, value: noise.span)
        _ = try partition.append(builder)
        try await bench.store(["short"], in: partition)
        let bytes = try #require(bench.disk.content(bench.path(0)))
        let first = try Self.header(bytes)
        let second = try Self.header(bytes, at: first.batchByteCount)
        #expect(first.codec == .none && second.codec == .none)
        #expect(try await partition.values().count == 2)
    }

    @Test func `the type can change at any time, and old batches stay`() async throws {
        var bench = Self.bench()
        let partition = try bench.open()
        try await bench.store(Self.text, in: partition)
        bench.options.compressionType = .none
        partition.configure(bench.options)
        try await bench.store(Self.text, in: partition)
        let bytes = try #require(bench.disk.content(bench.path(0)))
        let first = try Self.header(bytes)
        let second = try Self.header(bytes, at: first.batchByteCount)
        #expect(first.codec == .gzip && second.codec == .none)
        #expect(try await partition.values().count == 80)
    }

    /// Goal C7: an intact batch whose few bytes open to more than the named limit is refused when
    /// the limit is reached.
    @Test func `a bomb is refused with an error`() async throws {
        let zeros = [UInt8](repeating: 0, count: (64 << 20) + 1)
        let bomb = Self.stored(gzip(zeros.span, level: 9))
        #expect(bomb.count < 100_000)
        let bench = Bench()
        let partition = try bench.open(with: bomb)
        #expect(partition.failure == nil)
        let read = try await partition.read(from: Offset(0), maxBytes: 1)
        var reader = RecordBatchReader(read)
        do throws(LogError) {
            _ = try reader.next()
            Issue.record("read")
        } catch {
            #expect("\(error)".contains("tooLarge"))
        }
    }

    /// What opens to more than a reader takes is not written in the first place.
    @Test func `a batch above the reader's limit is stored as it is`() async throws {
        let bench = Self.bench()
        let partition = try bench.open()
        let zeros = [UInt8](repeating: 0, count: 9 << 20)
        var builder = RecordBatchBuilder()
        for _ in 0..<8 { builder.append(timestamp: 1, key: nil, value: zeros.span) }
        partition.configure(
            {
                var options = bench.options
                options.maxRecordBytes = 16 << 20
                return options
            }())
        _ = try partition.append(builder)
        let stored = try #require(bench.disk.content(bench.path(0)))
        #expect(stored.count > 72 << 20)
        #expect(RecordBatchHeader(stored.span)?.codec == RecordBatchHeader.Codec.none)
    }

    @Test func `damage behind an intact checksum is an error and no trap`() throws {
        let whole = gzip([UInt8](repeating: 7, count: 500).span, level: 6)
        for index in whole.indices {
            var bytes = whole
            bytes[index] ^= 0x55
            var reader = RecordBatchReader(Self.stored(bytes))
            do throws(LogError) { while try reader.next() != nil {} } catch { continue }
        }
        for count in whole.indices {
            var reader = RecordBatchReader(Self.stored(Array(whole.prefix(count))))
            #expect(throws: LogError.self) { try reader.next() }
        }
    }

    /// Pitfall 15.
    @Test func `compaction leaves compressed batches compressed and whole`() async throws {
        var bench = Bench.compacted(segmentBytes: 1500)
        bench.options.compressionType = .gzip
        let partition = try bench.open()
        for round in 0..<12 {
            let records = (0..<30).map {
                let isEven = $0 % 2 == 0 || round == 0
                return Keyed(isEven ? "\($0)" : "\($0) \(round)", "a text that repeats itself")
            }
            try await bench.store(records, in: partition)
        }
        let before = try await partition.keyed()
        try await partition.compact(bench.settings())
        let after = try await partition.keyed()
        #expect(table(after) == table(before) && after.count < before.count)
        #expect(after.allSatisfy { before[$0.key] == $0.value })
        let bytes = try #require(bench.disk.content(bench.path(0)))
        var position = 0
        var rewritten = 0
        while position < bytes.count {
            let header = try Self.header(bytes, at: position)
            if header.recordCount > 0 { #expect(header.codec == .gzip) }
            if header.recordCount < 30 { rewritten += 1 }
            position += header.batchByteCount
        }
        #expect(position == bytes.count && rewritten > 3)
    }

    /// Of the batch at `position`, which must be intact.
    private static func header(
        _ bytes: [UInt8], at position: Int = 0
    ) throws -> RecordBatchHeader {
        let header = RecordBatchHeader(bytes.span, at: position)
        let isIntact = header?.isIntact(bytes.span, at: position)
        #expect(isIntact == true)
        return try #require(header)
    }

    /// A batch that loses a record and is stored anew can be as long as before; to take it for
    /// unchanged would keep an old value under a tombstone that goes.
    @Test func `a batch that changes and keeps its length is put in place`() async throws {
        var random = SeededRandom(seed: 4)
        let noise = String(
            String.UnicodeScalarView(
                (0..<40).map { _ in Unicode.Scalar(UInt8(33 + random.below(90))) }))
        // By the number of repeated bytes, the lengths before and after come to meet.
        for padding in 0..<80 {
            var bench = Bench.compacted(segmentBytes: 60)
            bench.options.compressionType = .gzip
            let partition = try bench.open()
            let kept = noise + String(repeating: "x", count: padding)
            let gone = String(repeating: "x", count: 100)
            try await bench.store([Keyed("a", gone), Keyed("b", kept)], in: partition)
            try await bench.store([Keyed("a", nil)], in: partition)
            try await bench.store([Keyed("c", "c")], in: partition)
            try await partition.compact(bench.settings())
            bench.time.advance(by: .seconds(25 * 3600))
            try await partition.compact(bench.settings())
            let found = table(try await partition.keyed())
            #expect(found == ["b": kept, "c": "c"], "padding \(padding)")
        }
    }

    /// One intact batch of one record, so it says, with these bytes as compressed records.
    private static func stored(_ records: [UInt8]) -> [UInt8] {
        var bytes = Array(batch(["x"]).finish().prefix(RecordBatchHeader.byteCount)) + records
        bytes[22] = 1
        bytes.setBigEndian(UInt32(bytes.count - 12), at: 8)
        bytes.setBigEndian(crc32c(bytes.span.extracting(21..<bytes.count)), at: 17)
        return bytes
    }
}
