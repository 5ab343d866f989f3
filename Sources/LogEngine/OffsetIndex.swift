import Platform

/// A segment's `.index`: where in the file an offset is found. Kafka's format, big-endian:
///
///     at  size  field
///      0     4  relativeOffset   last offset of a batch, less the segment's base offset
///      4     4  position         of that batch in the `.log` file
///
/// One entry for the first batch that begins more than 4,096 bytes of log after the last entry's.
struct OffsetIndex: Equatable, Sendable {
    static let entryByteCount = 8
    /// relativeOffset in the upper half, position in the lower.
    private var entries: [UInt64] = []

    init() {}

    /// What a file holds; nil where it is not an index of a log of `logByteCount` bytes.
    init?(_ bytes: [UInt8], logByteCount: Int64) {
        guard bytes.count % Self.entryByteCount == 0 else { return nil }
        let span = bytes.span
        entries.reserveCapacity(bytes.count / Self.entryByteCount)
        for at in stride(from: 0, to: bytes.count, by: Self.entryByteCount) {
            let entry = UInt64(bitPattern: span.int64(at: at))
            guard Int64(entry & 0xFFFF_FFFF) < logByteCount, entry >> 63 == 0 else { return nil }
            if let last = entries.last {
                guard entry >> 32 > last >> 32, entry & 0xFFFF_FFFF > last & 0xFFFF_FFFF else {
                    return nil
                }
            }
            entries.append(entry)
        }
    }

    var count: Int { entries.count }
    var memoryByteCount: Int { entries.count * MemoryLayout<UInt64>.stride }

    mutating func append(relativeOffset: Int64, position: Int64) {
        entries.append(
            UInt64(UInt32(truncatingIfNeeded: relativeOffset)) << 32
                | UInt64(UInt32(truncatingIfNeeded: position)))
    }

    /// Where to begin looking for an offset of the segment that begins at `base`: at or before the
    /// batch that holds it.
    func start(for offset: Int64, base: Int64) -> BatchStart {
        let relativeOffset = offset - base
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if Int64(entries[middle] >> 32) <= relativeOffset {
                low = middle + 1
            } else {
                high = middle
            }
        }
        guard low > 0 else { return BatchStart(position: 0, next: base) }
        let entry = entries[low - 1]
        return BatchStart(position: Int64(entry & 0xFFFF_FFFF), last: base + Int64(entry >> 32))
    }

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(entries.count * Self.entryByteCount)
        for entry in entries { bytes.appendBigEndian(Int64(bitPattern: entry)) }
        return bytes
    }
}
