import Platform

/// A segment's `.timeindex`: up to which offset no record is newer. Kafka's format, big-endian:
///
///     at  size  field
///      0     8  timestamp        the largest so far, milliseconds since 1970
///      8     4  relativeOffset   last offset of the batch that brought it, less the base offset
///
/// An entry is written beside one of the offset index, and when the segment is sealed, if the
/// largest timestamp has grown: entries rise strictly whatever order timestamps come in.
struct TimeIndex: Equatable, Sendable {
    static let entryByteCount = 12
    private var entries: [Entry] = []

    struct Entry: Equatable {
        var timestamp: Int64
        var relativeOffset: Int32
    }

    init() {}

    /// What a file holds; nil where it is not a time index.
    init?(_ bytes: [UInt8]) {
        guard bytes.count % Self.entryByteCount == 0 else { return nil }
        let span = bytes.span
        entries.reserveCapacity(bytes.count / Self.entryByteCount)
        for at in stride(from: 0, to: bytes.count, by: Self.entryByteCount) {
            let entry = Entry(
                timestamp: span.int64(at: at), relativeOffset: span.int32(at: at + 8))
            guard entry.relativeOffset >= 0 else { return nil }
            if let last = entries.last {
                guard entry.timestamp > last.timestamp, entry.relativeOffset > last.relativeOffset
                else { return nil }
            }
            entries.append(entry)
        }
    }

    var count: Int { entries.count }
    var memoryByteCount: Int { entries.count * MemoryLayout<Entry>.stride }
    var lastTimestamp: Int64? { entries.last?.timestamp }

    /// Appends where the timestamp is larger than the last.
    mutating func append(timestamp: Int64, relativeOffset: Int64) {
        if let last = entries.last {
            guard timestamp > last.timestamp, relativeOffset > Int64(last.relativeOffset) else {
                return
            }
        }
        entries.append(
            Entry(timestamp: timestamp, relativeOffset: Int32(truncatingIfNeeded: relativeOffset)))
    }

    /// An offset such that every record before its batch is older than `timestamp`; 0 if unknown.
    func relativeOffset(before timestamp: Int64) -> Int64 {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].timestamp <= timestamp { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? 0 : Int64(entries[low - 1].relativeOffset)
    }

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(entries.count * Self.entryByteCount)
        for entry in entries {
            bytes.appendBigEndian(entry.timestamp)
            bytes.appendBigEndian(entry.relativeOffset)
        }
        return bytes
    }
}
