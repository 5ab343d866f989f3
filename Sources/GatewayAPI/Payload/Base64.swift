/// Base64 (RFC 4648 §4): the standard alphabet with padding. What decodes is exactly what encoding
/// gives: other alphabets, white space, missing padding and stray bits are refused.
package enum Base64 {
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let padding = UInt8(ascii: "=")

    /// Appends the text of `bytes`: 4 characters for every 3 bytes begun.
    package static func encode(_ bytes: ArraySlice<UInt8>, to text: inout [UInt8]) {
        let bytes = bytes.span
        reserve((bytes.count + 2) / 3 * 4, in: &text)
        var at = 0
        while at < bytes.count {
            let count = min(3, bytes.count - at)
            var group = UInt32(bytes[at]) << 16
            if count > 1 { group |= UInt32(bytes[at + 1]) << 8 }
            if count > 2 { group |= UInt32(bytes[at + 2]) }
            text.append(alphabet[Int(group >> 18)])
            text.append(alphabet[Int(group >> 12 & 63)])
            text.append(count > 1 ? alphabet[Int(group >> 6 & 63)] : padding)
            text.append(count > 2 ? alphabet[Int(group & 63)] : padding)
            at += count
        }
    }

    /// Appends the bytes of `text`; false, with nothing appended, where it is no Base64.
    package static func decode(_ text: ArraySlice<UInt8>, to bytes: inout [UInt8]) -> Bool {
        let text = text.span
        guard text.count.isMultiple(of: 4) else { return false }
        let before = bytes.count
        reserve(text.count / 4 * 3, in: &bytes)
        var at = 0
        while at < text.count {
            let isLast = at + 4 == text.count
            let padded =
                isLast && text[at + 3] == padding ? (text[at + 2] == padding ? 2 : 1) : 0
            guard let group = group(text, at, count: 4 - padded) else {
                bytes.removeLast(bytes.count - before)
                return false
            }
            bytes.append(UInt8(truncatingIfNeeded: group >> 16))
            if padded < 2 { bytes.append(UInt8(truncatingIfNeeded: group >> 8)) }
            if padded < 1 { bytes.append(UInt8(truncatingIfNeeded: group)) }
            at += 4
        }
        return true
    }

    /// Room for `count` more bytes. At least twofold: just enough again and again for one array
    /// would copy it each time, 1.3 s for 30,000 keys of 100 bytes.
    private static func reserve(_ count: Int, in bytes: inout [UInt8]) {
        guard bytes.capacity - bytes.count < count else { return }
        bytes.reserveCapacity(max(bytes.count + count, 2 * bytes.capacity))
    }

    /// The 24 bits of 2 to 4 characters, those of missing ones 0; nil where one is none of ours or
    /// has bits that no byte takes: two texts would mean the same.
    private static func group(_ text: Span<UInt8>, _ start: Int, count: Int) -> UInt32? {
        var group: UInt32 = 0
        for index in 0..<count {
            guard let value = value(of: text[start + index]) else { return nil }
            group |= UInt32(value) << UInt32(18 - 6 * index)
        }
        let unused: UInt32 = count == 4 ? 0 : count == 3 ? 0xFF : 0xFFFF
        return group & unused == 0 ? group : nil
    }

    private static func value(of character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - 0x41
        case UInt8(ascii: "a")...UInt8(ascii: "z"): character - 0x61 + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - 0x30 + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
