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
            at = try passString(text, at, limit)
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
    while true {
        at = skipPlain(text, at, limit)
        guard at < limit else { throw JSONError(.unexpectedEnd, at: at) }
        let byte = text[at]
        if byte == UInt8(ascii: "\"") { return (at, hasEscapes) }
        if byte == UInt8(ascii: "\\") {
            hasEscapes = true
            at = try scanEscape(text, at, limit)
        } else if byte < 0x20 {
            throw JSONError(.controlByte, at: at)
        } else {
            // Texts that are not in English have few plain bytes between these.
            repeat { at = try scanCharacter(text, at, limit) } while at < limit && text[at] >= 0x80
        }
    }
}

/// Behind the string whose opening quote is at `start`; most are plain to their end.
@inline(__always)
private func passString(_ text: Span<UInt8>, _ start: Int, _ limit: Int) throws(JSONError) -> Int {
    let end = skipPlain(text, start + 1, limit)
    if end < limit, text[end] == UInt8(ascii: "\"") { return end + 1 }
    return try scanString(text, from: end, limit: limit).end + 1
}

// MARK: - Pieces

func skipWhiteSpace(_ text: Span<UInt8>, _ start: Int, _ limit: Int) -> Int {
    var at = start
    while at < limit, isWhiteSpace(text[at]) { at += 1 }
    return at
}

/// A member's name and its colon, to the first byte of the value.
private func scanName(_ text: Span<UInt8>, _ start: Int, _ limit: Int) throws(JSONError) -> Int {
    guard start < limit else { throw JSONError(.unexpectedEnd, at: start) }
    guard text[start] == UInt8(ascii: "\"") else { throw JSONError(.unexpectedByte, at: start) }
    let end = try passString(text, start, limit)
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
