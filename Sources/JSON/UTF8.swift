/// Whether bytes are UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
package func isUTF8(_ bytes: ArraySlice<UInt8>) -> Bool {
    let text = bytes.span
    var at = 0
    do throws(JSONError) {
        while true {
            at = skipASCII(text, at)
            if at == text.count { return true }
            repeat {
                at = try scanCharacter(text, at, text.count)
            } while at < text.count && text[at] >= 0x80
        }
    } catch {
        return false
    }
}

/// Behind the character at `at`, which is beyond ASCII (RFC 3629 §4); throws at the first byte that
/// no character has there.
@inline(__always)
func scanCharacter(_ text: Span<UInt8>, _ at: Int, _ limit: Int) throws(JSONError) -> Int {
    let first = text[at]
    switch first {
    case 0xC2...0xDF:
        return try scanByte(text, at + 1, limit, 0x80, 0xBF)
    case 0xE0...0xEF:
        // Overlong forms lie below A0, surrogates above 9F.
        let second = try scanByte(
            text, at + 1, limit, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF)
        return try scanByte(text, second, limit, 0x80, 0xBF)
    case 0xF0...0xF4:
        // Overlong forms lie below 90, what is beyond U+10FFFF above 8F.
        let second = try scanByte(
            text, at + 1, limit, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF)
        let third = try scanByte(text, second, limit, 0x80, 0xBF)
        return try scanByte(text, third, limit, 0x80, 0xBF)
    default:
        throw JSONError(.badUTF8, at: at)
    }
}

/// Behind a byte that must be one of `low` to `high`.
@inline(__always)
private func scanByte(
    _ text: Span<UInt8>, _ at: Int, _ limit: Int, _ low: UInt8, _ high: UInt8
) throws(JSONError) -> Int {
    guard at < limit else { throw JSONError(.unexpectedEnd, at: at) }
    guard text[at] >= low, text[at] <= high else { throw JSONError(.badUTF8, at: at) }
    return at + 1
}
