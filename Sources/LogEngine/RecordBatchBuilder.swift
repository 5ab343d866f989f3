import Platform

/// Encodes records into one Kafka record batch (message format v2) as they come.
///
/// A record, with every number a zigzag varint but the attributes:
///
///     length | attributes (1 byte, 0) | timestampDelta | offsetDelta
///     keyLength (-1: none) | key | valueLength (-1: none) | value
///     headerCount | { nameLength | name | valueLength | value } ...
package struct RecordBatchBuilder: Sendable {
    /// The header's place, then the records.
    private var bytes = [UInt8](repeating: 0, count: RecordBatchHeader.byteCount)
    private var baseTimestamp: Int64 = 0
    private var maxTimestamp: Int64 = 0
    /// Records so far.
    package private(set) var recordCount = 0
    /// Bytes of the largest record so far, as encoded.
    package private(set) var largestRecordByteCount = 0
    /// Whether every record so far has a key.
    package private(set) var isKeyed = true
    /// nil: that of the first record.
    private let chosenBaseTimestamp: Int64?
    /// Whose batch it is; nil: nobody asks.
    package var identity: BatchIdentity?

    /// `baseTimestamp`, milliseconds since 1970, is what the header says; nil: the first record's.
    package init(baseTimestamp: Int64? = nil) { chosenBaseTimestamp = baseTimestamp }

    /// Bytes of the whole batch so far, header included.
    package var byteCount: Int { bytes.count }

    /// Adds a record. `timestamp` is milliseconds since 1970; `value` nil is a tombstone. False,
    /// with nothing added, where the record would take more than `limit` bytes as encoded.
    @discardableResult
    package mutating func append(
        timestamp: Int64, key: Span<UInt8>?, value: Span<UInt8>?, headers: RecordHeaders = .init(),
        limit: Int = .max
    ) -> Bool {
        precondition(recordCount < Int32.max)
        if recordCount == 0 {
            baseTimestamp = chosenBaseTimestamp ?? timestamp
            maxTimestamp = timestamp
        }
        // Wraps on purpose, and so does the reader: any two 64-bit timestamps come back exactly.
        let timestampDelta = timestamp &- baseTimestamp
        let bodyCount =
            1 + Varint.byteCount(timestampDelta) + Varint.byteCount(Int64(recordCount))
            + Self.byteCount(key) + Self.byteCount(value)
            + Varint.byteCount(Int64(headers.count)) + headers.bytes.count
        guard Varint.byteCount(Int64(bodyCount)) + bodyCount <= limit else { return false }
        maxTimestamp = max(maxTimestamp, timestamp)
        let before = bytes.count
        Varint.append(Int64(bodyCount), to: &bytes)
        bytes.append(0)
        Varint.append(timestampDelta, to: &bytes)
        Varint.append(Int64(recordCount), to: &bytes)
        Self.append(key, to: &bytes)
        Self.append(value, to: &bytes)
        Varint.append(Int64(headers.count), to: &bytes)
        bytes.append(headers.bytes.span)
        recordCount += 1
        if key == nil { isKeyed = false }
        largestRecordByteCount = max(largestRecordByteCount, bytes.count - before)
        return true
    }

    /// The batch with everything but its base offset, which is outside the checksum.
    package consuming func finish() -> [UInt8] {
        var bytes = bytes
        let length = bytes.count - RecordBatchHeader.prefixByteCount
        bytes.setBigEndian(UInt32(truncatingIfNeeded: length), at: 8)
        bytes[16] = 2
        bytes.setBigEndian(UInt32(recordCount - 1), at: 23)
        bytes.setBigEndian(baseTimestamp, at: 27)
        bytes.setBigEndian(maxTimestamp, at: 35)
        // Producer id, epoch and base sequence: all -1 for none.
        for index in 43..<57 { bytes[index] = 0xFF }
        if let identity { bytes.stamp(identity) }
        bytes.setBigEndian(UInt32(recordCount), at: 57)
        let checksum = crc32c(bytes.span.extracting(RecordBatchHeader.checksumStart..<bytes.count))
        bytes.setBigEndian(checksum, at: 17)
        return bytes
    }

    var largestTimestamp: Int64 { maxTimestamp }

    /// Bytes of a length and what it counts; nil is the length -1.
    @inline(__always)
    static func byteCount(_ field: Span<UInt8>?) -> Int {
        guard let field else { return 1 }
        return Varint.byteCount(Int64(field.count)) + field.count
    }

    @inline(__always)
    static func append(_ field: Span<UInt8>?, to bytes: inout [UInt8]) {
        guard let field else { return Varint.append(-1, to: &bytes) }
        Varint.append(Int64(field.count), to: &bytes)
        bytes.append(field)
    }
}
