/// A media type as `Content-Type` gives it: `type/subtype; charset=…` (RFC 9110 §8.3.1). Ranges of
/// the head's bytes; compared without case.
package struct MediaType {
    /// Type, slash and subtype.
    package var essence: Range<Int>
    /// The value of `charset`, without quotes; nil where there is none.
    package var charset: Range<Int>?

    /// nil where `range` holds no media type.
    package init?(_ bytes: [UInt8], in range: Range<Int>) {
        var end = range.lowerBound
        while end < range.upperBound, bytes[end] != UInt8(ascii: ";") { end += 1 }
        essence = trimmed(bytes, range.lowerBound..<end)
        let slashes = bytes[essence].count { $0 == UInt8(ascii: "/") }
        guard slashes == 1, essence.count >= 3, bytes[essence].allSatisfy({ $0 > 0x20 }) else {
            return nil
        }
        while end < range.upperBound {
            let start = end + 1
            end = parameterEnd(bytes, start..<range.upperBound)
            guard let equals = bytes[start..<end].firstIndex(of: UInt8(ascii: "=")) else {
                continue
            }
            guard isText(bytes, trimmed(bytes, start..<equals), "charset") else { continue }
            var value = trimmed(bytes, (equals + 1)..<end)
            let isQuoted =
                value.count >= 2 && bytes[value.lowerBound] == UInt8(ascii: "\"")
                && bytes[value.upperBound - 1] == UInt8(ascii: "\"")
            if isQuoted { value = (value.lowerBound + 1)..<(value.upperBound - 1) }
            charset = value
        }
    }

    /// Whether text in this media type is UTF-8, as far as it says: US-ASCII is a part of it.
    package func isUTF8(_ bytes: [UInt8]) -> Bool {
        guard let charset else { return true }
        return isText(bytes, charset, "utf-8") || isText(bytes, charset, "utf8")
            || isText(bytes, charset, "us-ascii")
    }
}

/// Whether an `Accept` line names exactly this media type (no wildcard) with a weight above 0.
package func acceptNames(_ bytes: [UInt8], in range: Range<Int>, _ type: String) -> Bool {
    var start = range.lowerBound
    while start < range.upperBound {
        var end = start
        while end < range.upperBound, bytes[end] != UInt8(ascii: ",") { end += 1 }
        var essenceEnd = start
        while essenceEnd < end, bytes[essenceEnd] != UInt8(ascii: ";") { essenceEnd += 1 }
        if isText(bytes, trimmed(bytes, start..<essenceEnd), type) {
            return !hasWeightZero(bytes, essenceEnd..<end)
        }
        start = end + 1
    }
    return false
}

/// Whether the text in `range` is `text` (lower-case ASCII), compared without case.
func isText(_ bytes: [UInt8], _ range: Range<Int>, _ text: String) -> Bool {
    let utf8 = text.utf8
    guard range.count == utf8.count else { return false }
    var at = range.lowerBound
    for byte in utf8 {
        let mine = bytes[at]
        if (mine &- 0x41 < 26 ? mine | 0x20 : mine) != byte { return false }
        at += 1
    }
    return true
}

/// The range without spaces and tabs at both ends.
func trimmed(_ bytes: [UInt8], _ range: Range<Int>) -> Range<Int> {
    var (start, end) = (range.lowerBound, range.upperBound)
    while start < end, bytes[start] == 0x20 || bytes[start] == 0x09 { start += 1 }
    while end > start, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
    return start..<end
}

/// Where the parameter that begins the range ends: at the next `;` outside quotes.
private func parameterEnd(_ bytes: [UInt8], _ range: Range<Int>) -> Int {
    var isQuoted = false
    var at = range.lowerBound
    while at < range.upperBound {
        switch bytes[at] {
        case UInt8(ascii: "\""): isQuoted.toggle()
        case UInt8(ascii: "\\") where isQuoted: at += 1
        case UInt8(ascii: ";") where !isQuoted: return at
        default: break
        }
        at += 1
    }
    return range.upperBound
}

/// Whether parameters such as `;q=0.000` refuse what they stand behind.
private func hasWeightZero(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    var start = range.lowerBound
    while start < range.upperBound {
        let end = parameterEnd(bytes, (start + 1)..<range.upperBound)
        let parameter = trimmed(bytes, (start + 1)..<end)
        if parameter.count >= 3, bytes[parameter.lowerBound] | 0x20 == UInt8(ascii: "q"),
            bytes[parameter.lowerBound + 1] == UInt8(ascii: "=")
        {
            return bytes[(parameter.lowerBound + 2)..<parameter.upperBound].allSatisfy {
                $0 == UInt8(ascii: "0") || $0 == UInt8(ascii: ".")
            }
        }
        start = end
    }
    return false
}
