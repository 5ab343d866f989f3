import Crypto

/// An access token: `mr_`, 16 hex digits that name it, `_`, and 64 hex digits (256 bits of chance)
/// that only its holder knows. Secret scanners find it by `mr_[0-9a-f]{16}_[0-9a-f]{64}`.
///
/// The file keeps its name and the SHA-256 of the whole text. A hash for passwords would add
/// nothing: nobody guesses 256 bits.
package struct Token: Sendable {
    package static let byteCount = 3 + 16 + 1 + 64

    package let identifier: UInt64
    private let secret: [UInt8]

    /// `chance` is 32 bytes of it, from a generator fit for keys.
    package init(identifier: UInt64, chance: [UInt8]) {
        precondition(chance.count == 32)
        self.identifier = identifier
        secret = chance
    }

    package var text: String { "mr_\(Self.name(identifier))_\(hexText(secret))" }

    package var hash: Hash { Hash(of: Array(text.utf8)) }

    /// The 16 hex digits that name a token; no secret.
    package static func name(_ identifier: UInt64) -> String {
        let digits = String(identifier, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }

    /// The token's name where `text` has the form of a token; nil where it has not.
    package static func identifier(in text: ArraySlice<UInt8>) -> UInt64? {
        guard text.count == byteCount else { return nil }
        let start = text.startIndex
        guard text[start] == UInt8(ascii: "m"), text[start + 1] == UInt8(ascii: "r"),
            text[start + 2] == UInt8(ascii: "_"), text[start + 19] == UInt8(ascii: "_")
        else { return nil }
        return identifier(named: text[(start + 3)..<(start + 19)])
    }

    package static func identifier(named digits: ArraySlice<UInt8>) -> UInt64? {
        guard digits.count == 16 else { return nil }
        var identifier: UInt64 = 0
        for digit in digits {
            guard let value = hexValue(digit) else { return nil }
            identifier = identifier << 4 | UInt64(value)
        }
        return identifier
    }
}

/// A SHA-256, as four words in the order of its bytes.
package struct Hash: Hashable, Sendable {
    private var a: UInt64 = 0
    private var b: UInt64 = 0
    private var c: UInt64 = 0
    private var d: UInt64 = 0

    package init(of bytes: [UInt8]) {
        var digest = SHA256.hash(data: bytes).makeIterator()
        func word() -> UInt64 {
            var word: UInt64 = 0
            for _ in 0..<8 { word = word << 8 | UInt64(digest.next() ?? 0) }
            return word
        }
        a = word()
        b = word()
        c = word()
        d = word()
    }

    /// From 64 lower-case hex digits.
    package init?(hex: String) {
        let digits = Array(hex.utf8)
        guard digits.count == 64, let a = Token.identifier(named: digits[0..<16]),
            let b = Token.identifier(named: digits[16..<32]),
            let c = Token.identifier(named: digits[32..<48]),
            let d = Token.identifier(named: digits[48..<64])
        else { return nil }
        (self.a, self.b, self.c, self.d) = (a, b, c, d)
    }

    package var hex: String { [a, b, c, d].map(Token.name).joined() }

    /// Compares all 256 bits whatever the first of them say: no branch and no early end, so the
    /// time it takes tells nothing about where two differ.
    package func equals(_ other: Hash) -> Bool {
        (a ^ other.a) | (b ^ other.b) | (c ^ other.c) | (d ^ other.d) == 0
    }

    /// Stands in for the hash of a token that is not known, so that such a request does the same
    /// work. No text has it, as far as anyone knows.
    package static let none = Hash(of: [])
}

private func hexValue(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - 0x30
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - 0x61 + 10
    default: nil
    }
}

func hexText(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
        decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
