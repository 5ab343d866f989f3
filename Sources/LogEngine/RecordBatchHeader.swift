import Platform

/// The fixed 61 bytes in front of every batch (Kafka message format v2), big-endian.
///
///     at  size  field
///      0     8  baseOffset
///      8     4  length                 bytes after this field
///     12     4  partitionLeaderEpoch   outside the checksum, so a leader can stamp it
///     16     1  magic                  always 2
///     17     4  checksum               CRC-32C of byte 21 to the end
///     21     2  attributes             bits 0-2 codec, 3 time type, 4 transactional, 5 control
///     23     4  lastOffsetDelta
///     27     8  baseTimestamp          milliseconds since 1970
///     35     8  maxTimestamp
///     43     8  producerId             -1: none
///     51     2  producerEpoch          -1: none
///     53     4  baseSequence           -1: none
///     57     4  recordCount
package struct RecordBatchHeader: Equatable, Sendable {
    package static let byteCount = 61
    /// Bytes in front of what `length` counts.
    static let prefixByteCount = 12
    /// The first byte under the checksum.
    static let checksumStart = 21
    static let maxTimestampStart = 35
    static let recordCountStart = 57

    package var baseOffset: Int64
    /// Bytes of the whole batch, this header included.
    package var batchByteCount: Int
    package var partitionLeaderEpoch: Int32
    package var checksum: UInt32
    package var attributes: Int16
    package var lastOffsetDelta: Int32
    package var baseTimestamp: Int64
    package var maxTimestamp: Int64
    package var producerID: Int64
    package var producerEpoch: Int16
    package var baseSequence: Int32
    package var recordCount: Int32

    /// What stands at `position`; nil where it cannot be a header: cut short, another magic, a
    /// length below its own, an offset or a count below zero. The checksum is not looked at.
    package init?(_ bytes: Span<UInt8>, at position: Int = 0) {
        guard bytes.count - position >= Self.byteCount, bytes[position + 16] == 2 else {
            return nil
        }
        let length = bytes.int32(at: position + 8)
        baseOffset = bytes.int64(at: position)
        lastOffsetDelta = bytes.int32(at: position + 23)
        recordCount = bytes.int32(at: position + 57)
        guard length >= Self.byteCount - Self.prefixByteCount, baseOffset >= 0,
            lastOffsetDelta >= 0, recordCount >= 0,
            baseOffset <= Int64.max - Int64(lastOffsetDelta) - 1
        else { return nil }
        batchByteCount = Int(length) + Self.prefixByteCount
        partitionLeaderEpoch = bytes.int32(at: position + 12)
        checksum = bytes.uint32(at: position + 17)
        attributes = bytes.int16(at: position + 21)
        baseTimestamp = bytes.int64(at: position + 27)
        maxTimestamp = bytes.int64(at: position + 35)
        producerID = bytes.int64(at: position + 43)
        producerEpoch = bytes.int16(at: position + 51)
        baseSequence = bytes.int32(at: position + 53)
    }

    package var lastOffset: Int64 { baseOffset + Int64(lastOffsetDelta) }
    package var nextOffset: Int64 { lastOffset + 1 }
    package var codec: Codec { Codec(rawValue: Int(attributes & 7)) ?? .unknown }
    package var isControl: Bool { attributes & 0x20 != 0 }
    package var isTransactional: Bool { attributes & 0x10 != 0 }
    /// The broker's clock stamped the records, all with `maxTimestamp`.
    package var hasAppendTime: Bool { attributes & 0x08 != 0 }

    /// Whether the batch at `position` is all there and as it was written.
    package func isIntact(_ bytes: Span<UInt8>, at position: Int = 0) -> Bool {
        guard bytes.count - position >= batchByteCount else { return false }
        let start = position + Self.checksumStart
        return crc32c(bytes.extracting(start..<position + batchByteCount)) == checksum
    }

    /// Makes length and checksum of a whole batch fit its bytes.
    static func seal(_ batch: inout [UInt8]) {
        let length = batch.count - prefixByteCount
        batch.setBigEndian(UInt32(truncatingIfNeeded: length), at: 8)
        let checksum = crc32c(batch.span.extracting(checksumStart..<batch.count))
        batch.setBigEndian(checksum, at: 17)
    }

    static func setCodec(_ codec: Codec, in batch: inout [UInt8]) {
        batch[22] = batch[22] & ~7 | UInt8(codec.rawValue)
    }

    /// How the records behind the header are compressed.
    package enum Codec: Int, Sendable {
        case none, gzip, snappy, lz4, zstd, unknown

        /// Whether this room reads it: what it writes itself, and gzip.
        package var isReadable: Bool { self == .none || self == .gzip }
    }
}
