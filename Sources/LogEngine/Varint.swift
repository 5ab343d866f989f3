import Platform

/// Zigzag varints (Protocol Buffers' sint64), as Kafka's record format v2 uses them.
enum Varint {
    /// Bytes `value` takes, 1 to 10.
    @inline(__always)
    static func byteCount(_ value: Int64) -> Int {
        let bits = 64 - (zigzag(value) | 1).leadingZeroBitCount
        return (bits + 6) / 7
    }

    @inline(__always)
    static func append(_ value: Int64, to bytes: inout [UInt8]) {
        var rest = zigzag(value)
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    /// The value at `position`, which moves behind it; nil where none ends before `end` or in 10
    /// bytes.
    @inline(__always)
    static func read(_ bytes: Span<UInt8>, at position: inout Int, before end: Int) -> Int64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < end, shift < 70 {
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1) }
            shift += 7
        }
        return nil
    }

    @inline(__always)
    private static func zigzag(_ value: Int64) -> UInt64 {
        UInt64(bitPattern: (value << 1) ^ (value >> 63))
    }
}
