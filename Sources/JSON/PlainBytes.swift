// Finding the next byte that needs a look, eight at a time. The numbers hold a byte in each lane,
// the first one lowest; a lane's top bit is its mark. A subtraction can carry a mark wrongly into
// the lanes above one that is rightly marked, so the lowest mark is exact and only that one is
// used.

/// To the first byte at or behind `start` that is not plain in a string that is read: a quote, a
/// backslash, a control byte, a byte of a character beyond ASCII; `limit` where there is none.
@inline(__always)
func skipPlain(_ text: Span<UInt8>, _ start: Int, _ limit: Int) -> Int {
    var at = start
    while limit - at >= 8 {
        let word = eightBytes(text, at)
        let marks =
            (word &- lanes(0x20)) | ((word ^ lanes(0x22)) &- lanes(1))
            | ((word ^ lanes(0x5C)) &- lanes(1)) | word
        if marks & lanes(0x80) != 0 { return at + firstMark(marks) }
        at += 8
    }
    while at < limit {
        let byte = text[at]
        if byte < 0x20 || byte == 0x22 || byte == 0x5C || byte >= 0x80 { break }
        at += 1
    }
    return at
}

/// To the first byte that must be escaped where a string is written: a quote, a backslash, a
/// control byte or DEL; the end where there is none.
@inline(__always)
func skipUnescaped(_ text: Span<UInt8>, _ start: Int) -> Int {
    var at = start
    while text.count - at >= 8 {
        let word = eightBytes(text, at)
        let marks =
            (word &- lanes(0x20)) | ((word ^ lanes(0x22)) &- lanes(1))
            | ((word ^ lanes(0x5C)) &- lanes(1)) | ((word ^ lanes(0x7F)) &- lanes(1))
        // What is beyond ASCII is marked by all of these and needs no escape.
        let ascii = marks & ~word
        if ascii & lanes(0x80) != 0 { return at + firstMark(ascii) }
        at += 8
    }
    while at < text.count {
        let byte = text[at]
        if byte < 0x20 || byte == 0x22 || byte == 0x5C || byte == 0x7F { break }
        at += 1
    }
    return at
}

/// To the first byte beyond ASCII, or the end.
@inline(__always)
func skipASCII(_ text: Span<UInt8>, _ start: Int) -> Int {
    var at = start
    while text.count - at >= 8 {
        let marks = eightBytes(text, at)
        if marks & lanes(0x80) != 0 { return at + firstMark(marks) }
        at += 8
    }
    while at < text.count, text[at] < 0x80 { at += 1 }
    return at
}

@inline(__always)
private func lanes(_ byte: UInt64) -> UInt64 { byte &* 0x0101_0101_0101_0101 }

@inline(__always)
private func firstMark(_ marks: UInt64) -> Int {
    (marks & lanes(0x80)).trailingZeroBitCount &>> 3
}

/// Through a span of just these eight, the compiler makes this one load.
@inline(__always)
private func eightBytes(_ text: Span<UInt8>, _ at: Int) -> UInt64 {
    let eight = text.extracting(at..<at + 8)
    return UInt64(eight[0]) | UInt64(eight[1]) &<< 8 | UInt64(eight[2]) &<< 16
        | UInt64(eight[3]) &<< 24 | UInt64(eight[4]) &<< 32 | UInt64(eight[5]) &<< 40
        | UInt64(eight[6]) &<< 48 | UInt64(eight[7]) &<< 56
}
