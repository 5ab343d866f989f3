import Platform

/// A 128-bit fingerprint of a key: SipHash-2-4-128 (Aumasson and Bernstein). Its secret keeps a
/// client from making two keys with one fingerprint, by which compaction would drop a record.
package struct KeyHash: Sendable {
    package struct Value: Equatable, Sendable {
        package var low: UInt64
        package var high: UInt64

        package init(low: UInt64, high: UInt64) {
            self.low = low
            self.high = high
        }
    }

    private let secret: (low: UInt64, high: UInt64)

    package init(low: UInt64, high: UInt64) { secret = (low, high) }

    package func hash(_ key: Span<UInt8>) -> Value {
        var lanes = Lanes(secret.low, secret.high)
        var index = 0
        while key.count - index >= 8 {
            lanes.take(Self.word(key, index..<index + 8))
            index += 8
        }
        let length = UInt64(truncatingIfNeeded: key.count) << 56
        lanes.take(Self.word(key, index..<key.count) | length)
        return lanes.finish()
    }

    /// Up to eight bytes, little-endian.
    private static func word(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt64 {
        var word: UInt64 = 0
        for index in range.reversed() { word = word << 8 | UInt64(bytes[index]) }
        return word
    }

    private struct Lanes {
        private var a, b, c, d: UInt64

        init(_ low: UInt64, _ high: UInt64) {
            a = low ^ 0x736f_6d65_7073_6575
            b = high ^ 0x646f_7261_6e64_6f6d ^ 0xee
            c = low ^ 0x6c79_6765_6e65_7261
            d = high ^ 0x7465_6462_7974_6573
        }

        mutating func take(_ word: UInt64) {
            d ^= word
            round()
            round()
            a ^= word
        }

        mutating func finish() -> Value {
            c ^= 0xee
            for _ in 0..<4 { round() }
            let low = a ^ b ^ c ^ d
            b ^= 0xdd
            for _ in 0..<4 { round() }
            return Value(low: low, high: a ^ b ^ c ^ d)
        }

        private mutating func round() {
            a = a &+ b
            b = Self.rotate(b, 13) ^ a
            a = Self.rotate(a, 32)
            c = c &+ d
            d = Self.rotate(d, 16) ^ c
            a = a &+ d
            d = Self.rotate(d, 21) ^ a
            c = c &+ b
            b = Self.rotate(b, 17) ^ c
            c = Self.rotate(c, 32)
        }

        private static func rotate(_ word: UInt64, _ count: UInt64) -> UInt64 {
            word << count | word >> (64 - count)
        }
    }
}
