// Strings that a scan has checked, without their escapes.

/// The bytes the string in `range` stands for. `.loneSurrogate`, at its backslash, where a `\u` is
/// half a pair.
func unescape(_ bytes: [UInt8], _ range: Range<Int>) throws(JSONError) -> [UInt8] {
    var out: [UInt8] = []
    // An escape is never shorter than what it stands for.
    out.reserveCapacity(range.count)
    var start = range.lowerBound
    var at = start
    while at < range.upperBound {
        guard bytes[at] == UInt8(ascii: "\\") else {
            at += 1
            continue
        }
        out.append(contentsOf: bytes[start..<at])
        let (scalar, end) = try unescapeOne(bytes.span, at, range.upperBound)
        if scalar.isASCII {
            out.append(UInt8(truncatingIfNeeded: scalar.value))
        } else {
            out.append(contentsOf: scalar.utf8)
        }
        start = end
        at = end
    }
    out.append(contentsOf: bytes[start..<at])
    return out
}

/// Whether the string in `range` stands for `wanted`. Allocates nothing.
func isUnescaped(_ text: Span<UInt8>, _ range: Range<Int>, _ wanted: Span<UInt8>) -> Bool {
    var at = range.lowerBound
    var index = 0
    while at < range.upperBound {
        if text[at] != UInt8(ascii: "\\") {
            guard index < wanted.count, wanted[index] == text[at] else { return false }
            at += 1
            index += 1
            continue
        }
        guard let (scalar, end) = try? unescapeOne(text, at, range.upperBound) else { return false }
        for byte in scalar.utf8 {
            guard index < wanted.count, wanted[index] == byte else { return false }
            index += 1
        }
        at = end
    }
    return index == wanted.count
}

/// The character an escape stands for, or a pair of them; `start` is at its backslash.
private func unescapeOne(
    _ text: Span<UInt8>, _ start: Int, _ limit: Int
) throws(JSONError) -> (scalar: Unicode.Scalar, end: Int) {
    let letter = text[start + 1]
    guard letter == UInt8(ascii: "u") else {
        return (Unicode.Scalar(unescaped(letter)), start + 2)
    }
    let unit = codeUnit(text, start + 2)
    if let scalar = Unicode.Scalar(unit) { return (scalar, start + 6) }
    // Half a pair: the low half must follow the high one (RFC 8259 §7).
    guard unit < 0xDC00, limit - start >= 12, text[start + 6] == UInt8(ascii: "\\"),
        text[start + 7] == UInt8(ascii: "u")
    else { throw JSONError(.loneSurrogate, at: start) }
    let low = codeUnit(text, start + 8)
    guard (0xDC00...0xDFFF).contains(low),
        let scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
    else { throw JSONError(.loneSurrogate, at: start) }
    return (scalar, start + 12)
}

private func unescaped(_ letter: UInt8) -> UInt8 {
    switch letter {
    case UInt8(ascii: "b"): 0x08
    case UInt8(ascii: "f"): 0x0C
    case UInt8(ascii: "n"): 0x0A
    case UInt8(ascii: "r"): 0x0D
    case UInt8(ascii: "t"): 0x09
    default: letter
    }
}

/// Four hex digits that a scan has checked.
private func codeUnit(_ text: Span<UInt8>, _ start: Int) -> UInt32 {
    var value: UInt32 = 0
    for index in start..<start + 4 { value = value << 4 | (hexDigit(text[index]) ?? 0) }
    return value
}
