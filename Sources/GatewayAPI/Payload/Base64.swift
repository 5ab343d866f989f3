/// Base64 (RFC 4648 §4): the standard alphabet with padding. What decodes is exactly what encoding
/// gives: other alphabets, white space, missing padding and stray bits are refused.
package enum Base64 {
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let padding = UInt8(ascii: "=")

    /// Appends the text of `bytes`: 4 characters for every 3 bytes begun.
    package static func encode(_ bytes: ArraySlice<UInt8>, to text: inout [UInt8]) {
        text.reserveCapacity(text.count + (bytes.count + 2) / 3 * 4)
        var at = bytes.startIndex
        while at < bytes.endIndex {
            let count = min(3, bytes.endIndex - at)
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

    /// Appends the bytes of `text`; false, with part of them appended, where it is no Base64.
    package static func decode(_ text: ArraySlice<UInt8>, to bytes: inout [UInt8]) -> Bool {
        guard text.count.isMultiple(of: 4) else { return false }
        bytes.reserveCapacity(bytes.count + text.count / 4 * 3)
        var at = text.startIndex
        while at < text.endIndex {
            let isLast = at + 4 == text.endIndex
            let padded =
                isLast && text[at + 3] == padding ? (text[at + 2] == padding ? 2 : 1) : 0
            var group: UInt32 = 0
            for index in 0..<(4 - padded) {
                guard let value = value(of: text[at + index]) else { return false }
                group |= UInt32(value) << UInt32(18 - 6 * index)
            }
            // Bits that no byte takes must be 0, or two texts would mean the same.
            if padded == 1, group & 0xFF != 0 { return false }
            if padded == 2, group & 0xFFFF != 0 { return false }
            bytes.append(UInt8(truncatingIfNeeded: group >> 16))
            if padded < 2 { bytes.append(UInt8(truncatingIfNeeded: group >> 8)) }
            if padded < 1 { bytes.append(UInt8(truncatingIfNeeded: group)) }
            at += 4
        }
        return true
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
