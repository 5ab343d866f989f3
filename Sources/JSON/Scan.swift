// The grammar of RFC 8259 as functions over bytes: each checks what begins at `start` and returns
// where it ends. None recurses, and none allocates.

@inline(__always)
func isWhiteSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
}

/// Which of the open brackets are objects: a bit for each level.
private struct Nesting {
    private var bits = InlineArray<8, UInt64>(repeating: 0)
    private(set) var depth = 0

    var isInObject: Bool {
        depth > 0 && bits[(depth - 1) >> 6] & (1 << UInt64((depth - 1) & 63)) != 0
    }

    /// False where the limit is reached.
    mutating func open(object: Bool) -> Bool {
        guard depth < Limits.depth else { return false }
        let bit: UInt64 = 1 << UInt64(depth & 63)
        if object { bits[depth >> 6] |= bit } else { bits[depth >> 6] &= ~bit }
        depth += 1
        return true
    }

    mutating func close() { depth -= 1 }
}

// MARK: - Hot path

/// One whole value of any kind. `start` is at its first byte.
func scanValue(_ text: Span<UInt8>, from start: Int, limit: Int) throws(JSONError) -> Int {
    var nesting = Nesting()
    var at = start
    while true {
        // In front of a value.
        guard at < limit else { throw JSONError(.unexpectedEnd, at: at) }
        switch text[at] {
        case UInt8(ascii: "\""):
            at = try scanString(text, from: at + 1, limit: limit).end + 1
        case UInt8(ascii: "{"):
            guard nesting.open(object: true) else { throw JSONError(.tooDeep, at: at) }
            at = skipWhiteSpace(text, at + 1, limit)
            if at < limit, text[at] == UInt8(ascii: "}") {
                nesting.close()
                at += 1
            } else {
                at = try scanName(text, at, limit)
                continue
            }
        case UInt8(ascii: "["):
            guard nesting.open(object: false) else { throw JSONError(.tooDeep, at: at) }
            at = skipWhiteSpace(text, at + 1, limit)
            if at < limit, text[at] == UInt8(ascii: "]") {
                nesting.close()
                at += 1
            } else {
                continue
            }
        case UInt8(ascii: "t"): at = try scanLiteral(text, at, limit, 0x7472_7565, 4)
        case UInt8(ascii: "f"): at = try scanLiteral(text, at, limit, 0x66_616C_7365, 5)
        case UInt8(ascii: "n"): at = try scanLiteral(text, at, limit, 0x6E75_6C6C, 4)
        default: at = try scanNumber(text, at, limit)
        }
        // Behind a value: close what ends here, and stop at the next value or at the end of all.
        while true {
            if nesting.depth == 0 { return at }
            at = skipWhiteSpace(text, at, limit)
            guard at < limit else { throw JSONError(.unexpectedEnd, at: at) }
            let isObject = nesting.isInObject
            if text[at] == UInt8(ascii: ",") {
                at = skipWhiteSpace(text, at + 1, limit)
                if isObject { at = try scanName(text, at, limit) }
                break
            }
            guard text[at] == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
                throw JSONError(.unexpectedByte, at: at)
            }
            nesting.close()
            at += 1
        }
    }
}

/// The rest of a string, behind its opening quote; `end` is at the closing one.
func scanString(
    _ text: Span<UInt8>, from start: Int, limit: Int
) throws(JSONError) -> (end: Int, hasEscapes: Bool) {
    var at = start
    var hasEscapes = false
    while at < limit {
        let byte = text[at]
        if byte >= 0x20, byte < 0x80, byte != 0x22, byte != 0x5C {
            at += 1
        } else if byte == 0x22 {
            return (at, hasEscapes)
        } else if byte == 0x5C {
            hasEscapes = true
            at = try scanEscape(text, at, limit)
        } else if byte < 0x20 {
            throw JSONError(.controlByte, at: at)
        } else {
            let length = utf8Length(text, at, limit)
            guard length > 0 else { throw JSONError(.badUTF8, at: at) }
            at += length
        }
    }
    throw JSONError(.unexpectedEnd, at: at)
}

// MARK: - Pieces

private func skipWhiteSpace(_ text: Span<UInt8>, _ start: Int, _ limit: Int) -> Int {
    var at = start
    while at < limit, isWhiteSpace(text[at]) { at += 1 }
    return at
}

/// A member's name and its colon, to the first byte of the value.
private func scanName(_ text: Span<UInt8>, _ start: Int, _ limit: Int) throws(JSONError) -> Int {
    guard start < limit else { throw JSONError(.unexpectedEnd, at: start) }
    guard text[start] == UInt8(ascii: "\"") else { throw JSONError(.unexpectedByte, at: start) }
    let end = try scanString(text, from: start + 1, limit: limit).end + 1
    let colon = skipWhiteSpace(text, end, limit)
    guard colon < limit else { throw JSONError(.unexpectedEnd, at: colon) }
    guard text[colon] == UInt8(ascii: ":") else { throw JSONError(.unexpectedByte, at: colon) }
    return skipWhiteSpace(text, colon + 1, limit)
}

/// `true`, `false` or `null`, given as its bytes in one number.
private func scanLiteral(
    _ text: Span<UInt8>, _ start: Int, _ limit: Int, _ letters: UInt64, _ count: Int
) throws(JSONError) -> Int {
    for index in 0..<count {
        guard start + index < limit else { throw JSONError(.unexpectedEnd, at: limit) }
        let wanted = UInt8(truncatingIfNeeded: letters >> UInt64((count - 1 - index) * 8))
        guard text[start + index] == wanted else {
            throw JSONError(.unexpectedByte, at: start + index)
        }
    }
    return start + count
}

private func scanNumber(_ text: Span<UInt8>, _ start: Int, _ limit: Int) throws(JSONError) -> Int {
    var at = start
    if text[at] == UInt8(ascii: "-") {
        at += 1
    } else if !isDigit(text[at]) {
        throw JSONError(.unexpectedByte, at: at)
    }
    let whole = at
    at = try scanDigits(text, at, limit)
    if at - whole > 1, text[whole] == UInt8(ascii: "0") {
        throw JSONError(.badNumber, at: whole + 1)
    }
    if at < limit, text[at] == UInt8(ascii: ".") { at = try scanDigits(text, at + 1, limit) }
    if at < limit, text[at] | 0x20 == UInt8(ascii: "e") {
        at += 1
        if at < limit, text[at] == UInt8(ascii: "+") || text[at] == UInt8(ascii: "-") { at += 1 }
        at = try scanDigits(text, at, limit)
    }
    return at
}

/// One digit at least.
private func scanDigits(_ text: Span<UInt8>, _ start: Int, _ limit: Int) throws(JSONError) -> Int {
    var at = start
    while at < limit, isDigit(text[at]) { at += 1 }
    guard at > start else { throw JSONError(at < limit ? .badNumber : .unexpectedEnd, at: at) }
    return at
}

@inline(__always)
private func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

/// Behind the escape whose backslash is at `start`.
private func scanEscape(_ text: Span<UInt8>, _ start: Int, _ limit: Int) throws(JSONError) -> Int {
    guard start + 1 < limit else { throw JSONError(.unexpectedEnd, at: limit) }
    switch text[start + 1] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"),
        UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
        return start + 2
    case UInt8(ascii: "u"):
        for index in 2..<6 {
            guard start + index < limit else { throw JSONError(.unexpectedEnd, at: limit) }
            guard hexDigit(text[start + index]) != nil else {
                throw JSONError(.badEscape, at: start + index)
            }
        }
        return start + 6
    default: throw JSONError(.badEscape, at: start + 1)
    }
}

func hexDigit(_ byte: UInt8) -> UInt32? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte) - 0x30
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte) - 0x61 + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte) - 0x41 + 10
    default: nil
    }
}

/// The bytes of the UTF-8 character at `at` (RFC 3629 §4); 0 where there is none.
func utf8Length(_ text: Span<UInt8>, _ at: Int, _ limit: Int) -> Int {
    let first = text[at]
    if first < 0x80 { return 1 }
    func isContinuation(_ index: Int, _ low: UInt8 = 0x80, _ high: UInt8 = 0xBF) -> Bool {
        at + index < limit && text[at + index] >= low && text[at + index] <= high
    }
    switch first {
    case 0xC2...0xDF:
        return isContinuation(1) ? 2 : 0
    case 0xE0...0xEF:
        let low: UInt8 = first == 0xE0 ? 0xA0 : 0x80
        let high: UInt8 = first == 0xED ? 0x9F : 0xBF
        return isContinuation(1, low, high) && isContinuation(2) ? 3 : 0
    case 0xF0...0xF4:
        let low: UInt8 = first == 0xF0 ? 0x90 : 0x80
        let high: UInt8 = first == 0xF4 ? 0x8F : 0xBF
        return isContinuation(1, low, high) && isContinuation(2) && isContinuation(3) ? 4 : 0
    default:
        return 0
    }
}

/// Whether bytes are UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
package func isUTF8(_ bytes: ArraySlice<UInt8>) -> Bool {
    let text = bytes.span
    var at = 0
    while at < text.count {
        let length = utf8Length(text, at, text.count)
        if length == 0 { return false }
        at += length
    }
    return true
}

/// A scanned string without its escapes.
func unescape(_ text: Span<UInt8>, _ range: Range<Int>) throws(JSONError) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(range.count)
    var at = range.lowerBound
    while at < range.upperBound {
        if text[at] != 0x5C {
            out.append(text[at])
            at += 1
            continue
        }
        let letter = text[at + 1]
        guard letter == UInt8(ascii: "u") else {
            out.append(unescaped(letter))
            at += 2
            continue
        }
        var scalar = codeUnit(text, at + 2)
        var length = 6
        if (0xD800...0xDFFF).contains(scalar) {
            let isPair =
                scalar < 0xDC00 && at + 12 <= range.upperBound && text[at + 6] == 0x5C
                && text[at + 7] == UInt8(ascii: "u")
            let low = isPair ? codeUnit(text, at + 8) : 0
            guard (0xDC00...0xDFFF).contains(low) else { throw JSONError(.loneSurrogate, at: at) }
            scalar = 0x10000 + ((scalar - 0xD800) << 10) + (low - 0xDC00)
            length = 12
        }
        appendUTF8(scalar, to: &out)
        at += length
    }
    return out
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

private func appendUTF8(_ scalar: UInt32, to out: inout [UInt8]) {
    func byte(_ value: UInt32) -> UInt8 { UInt8(truncatingIfNeeded: value) }
    switch scalar {
    case ..<0x80:
        out.append(byte(scalar))
    case ..<0x800:
        out.append(byte(0xC0 | scalar >> 6))
        out.append(byte(0x80 | scalar & 0x3F))
    case ..<0x10000:
        out.append(byte(0xE0 | scalar >> 12))
        out.append(byte(0x80 | scalar >> 6 & 0x3F))
        out.append(byte(0x80 | scalar & 0x3F))
    default:
        out.append(byte(0xF0 | scalar >> 18))
        out.append(byte(0x80 | scalar >> 12 & 0x3F))
        out.append(byte(0x80 | scalar >> 6 & 0x3F))
        out.append(byte(0x80 | scalar & 0x3F))
    }
}
