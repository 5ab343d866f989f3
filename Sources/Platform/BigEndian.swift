/// Network byte order, as Kafka's formats and HTTP/2 use it. An index out of range is a bug of the
/// caller and traps: check `count` first on bytes from a disk or a client.
extension Span<UInt8> {
    @inlinable
    package func int16(at index: Int) -> Int16 {
        Int16(bitPattern: UInt16(self[index]) << 8 | UInt16(self[index + 1]))
    }

    @inlinable
    package func uint32(at index: Int) -> UInt32 {
        UInt32(self[index]) << 24 | UInt32(self[index + 1]) << 16
            | UInt32(self[index + 2]) << 8 | UInt32(self[index + 3])
    }

    @inlinable
    package func int32(at index: Int) -> Int32 { Int32(bitPattern: uint32(at: index)) }

    @inlinable
    package func int64(at index: Int) -> Int64 {
        Int64(bitPattern: UInt64(uint32(at: index)) << 32 | UInt64(uint32(at: index + 4)))
    }
}

extension [UInt8] {
    @inlinable
    package mutating func appendBigEndian(_ value: Int16) {
        append(UInt8(truncatingIfNeeded: value >> 8))
        append(UInt8(truncatingIfNeeded: value))
    }

    @inlinable
    package mutating func appendBigEndian(_ value: UInt32) {
        append(UInt8(truncatingIfNeeded: value >> 24))
        append(UInt8(truncatingIfNeeded: value >> 16))
        append(UInt8(truncatingIfNeeded: value >> 8))
        append(UInt8(truncatingIfNeeded: value))
    }

    @inlinable
    package mutating func appendBigEndian(_ value: Int32) {
        appendBigEndian(UInt32(bitPattern: value))
    }

    @inlinable
    package mutating func appendBigEndian(_ value: Int64) {
        appendBigEndian(UInt32(truncatingIfNeeded: value >> 32))
        appendBigEndian(UInt32(truncatingIfNeeded: value))
    }

    @inlinable
    package mutating func setBigEndian(_ value: UInt32, at index: Int) {
        self[index] = UInt8(truncatingIfNeeded: value >> 24)
        self[index + 1] = UInt8(truncatingIfNeeded: value >> 16)
        self[index + 2] = UInt8(truncatingIfNeeded: value >> 8)
        self[index + 3] = UInt8(truncatingIfNeeded: value)
    }

    @inlinable
    package mutating func setBigEndian(_ value: Int64, at index: Int) {
        setBigEndian(UInt32(truncatingIfNeeded: value >> 32), at: index)
        setBigEndian(UInt32(truncatingIfNeeded: value), at: index + 4)
    }
}
