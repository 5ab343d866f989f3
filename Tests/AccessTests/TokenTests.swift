import Access
import Crypto
import Testing

@Suite struct `A token` {
    private let token = Token(identifier: 0x0123_4567_89AB_CDEF, chance: Array(0..<32))

    @Test func `has the form that secret scanners look for`() {
        #expect(token.text.wholeMatch(of: /mr_[0-9a-f]{16}_[0-9a-f]{64}/) != nil)
        #expect(token.text.hasPrefix("mr_0123456789abcdef_000102"))
        #expect(Token.identifier(in: Array(token.text.utf8)[...]) == 0x0123_4567_89AB_CDEF)
    }

    @Test func `is kept as the SHA-256 of its text`() {
        let digest = SHA256.hash(data: Array(token.text.utf8))
        let hex = digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(token.hash.hex == hex)
        #expect(Hash(hex: hex) == token.hash)
    }

    /// A comparison that looks at one word only would pass most of these.
    @Test(arguments: 0..<256)
    func `differs from one with any other bit in its hash`(bit: Int) throws {
        var digits = Array(token.hash.hex.utf8)
        let value = try #require(UInt8(String(UnicodeScalar(digits[bit / 4])), radix: 16))
        digits[bit / 4] = Array(String(value ^ (1 << UInt8(bit % 4)), radix: 16).utf8)[0]
        let other = try #require(Hash(hex: String(decoding: digits, as: UTF8.self)))
        #expect(!token.hash.equals(other))
        #expect(token.hash.equals(token.hash))
    }

    @Test func `of another form is none`() {
        let text = Array(token.text.utf8)
        for length in 0..<text.count {
            #expect(Token.identifier(in: text[..<length]) == nil)
        }
        for index in [0, 1, 2, 5, 18, 19] {
            var broken = text
            broken[index] = UInt8(ascii: "G")
            #expect(Token.identifier(in: broken[...]) == nil)
        }
        #expect(Hash(hex: String(repeating: "A", count: 64)) == nil)
        #expect(Hash(hex: String(repeating: "0", count: 63)) == nil)
    }
}
