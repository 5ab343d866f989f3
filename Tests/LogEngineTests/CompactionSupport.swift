import LogEngine
import Platform
import TestSupport
import Testing

/// A record of a compacted log: without a value a tombstone.
struct Keyed: Equatable {
    var key: String
    var value: String?

    init(_ key: String, _ value: String?) {
        self.key = key
        self.value = value
    }
}

func batch(_ records: [Keyed], timestamp: Int64 = 1_700_000_000_000) -> RecordBatchBuilder {
    var builder = RecordBatchBuilder()
    for record in records {
        let (key, value) = (Array(record.key.utf8), Array((record.value ?? "").utf8))
        if record.value == nil {
            builder.append(timestamp: timestamp, key: key.span, value: nil)
        } else {
            builder.append(timestamp: timestamp, key: key.span, value: value.span)
        }
    }
    return builder
}

extension Bench {
    /// Segments of a few records, compacted.
    static func compacted(segmentBytes: Int64 = 400) -> Bench {
        var bench = Bench()
        bench.options.segmentBytes = segmentBytes
        bench.options.isCompacted = true
        return bench
    }

    func settings(mapKeys: Int = 1000) -> CompactionSettings {
        var settings = CompactionSettings(hash: KeyHash(low: 1, high: 2))
        settings.mapByteCount = mapKeys * OffsetMap.slotByteCount * 4 / 3
        return settings
    }

    @discardableResult
    func store(_ records: [Keyed], in partition: Partition) async throws -> Offset {
        let offset = try partition.append(batch(records))
        settle()
        try await partition.durable(before: offset + records.count)
        return offset
    }

    /// Closes the active segment, so that all before can be compacted: appends records of other
    /// keys until it rolls.
    func roll(_ partition: Partition) async throws {
        let count = try bases().count
        var number = 0
        while try bases().count == count {
            let key = "roll \(number % 2)"
            try await store([Keyed(key, String(repeating: "r", count: 100))], in: partition)
            number += 1
        }
    }
}

extension Partition {
    /// Keys and values by offset, from `offset` to the high watermark; every read must bring the
    /// reader on.
    func keyed(from offset: Int64 = 0, maxBytes: Int = 1 << 20) async throws -> [Int64: Keyed] {
        var found: [Int64: Keyed] = [:]
        var next = Offset(max(offset, logStart.value))
        while next < highWatermark {
            var reader = RecordBatchReader(try await read(from: next, maxBytes: maxBytes))
            let before = next
            while let record = try reader.next() {
                guard record.offset >= next else { continue }
                let text = { (range: Range<Int>) in
                    String(decoding: reader.bytes[range], as: UTF8.self)
                }
                found[record.offset.value] = Keyed(
                    record.key.map(text) ?? "", record.value.map(text))
            }
            next = max(next, reader.nextOffset)
            guard before < next else {
                Issue.record("a read at \(before.value) brought nothing")
                break
            }
        }
        return found
    }
}

/// What a table built from records in order says: a tombstone ends a key.
func table(
    _ records: [Int64: Keyed], onto start: [String: String] = [:]
) -> [String: String] {
    var table = start
    for (_, record) in records.sorted(by: { $0.key < $1.key }) { table[record.key] = record.value }
    return table
}
