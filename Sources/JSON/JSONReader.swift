/// Reads JSON (RFC 8259) in order, by asking for what should come next. There is no tree: a value
/// can be taken as the raw slice it occupies, checked but untouched.
///
///     var reader = JSONReader(body)
///     try reader.beginObject()
///     while let name = try reader.nextMember() {
///         if reader.matches(name, "value") { value = try reader.skipValue() } else { … }
///     }
///     try reader.end()
package struct JSONReader: Sendable {
    package let bytes: [UInt8]
    /// Where the next byte is read.
    package private(set) var position: Int
    private let limit: Int
    /// Right behind `{` or `[`, where no comma is due.
    private var isFirst = true

    /// Reads the text in `range` of `bytes` (all of it if nil); ranges given out are of `bytes`.
    package init(_ bytes: [UInt8], in range: Range<Int>? = nil) {
        precondition(range == nil || range!.lowerBound >= 0 && range!.upperBound <= bytes.count)
        self.bytes = bytes
        position = range?.lowerBound ?? 0
        limit = range?.upperBound ?? bytes.count
    }

    // MARK: - Structure

    /// What kind of value comes next, without taking it.
    package mutating func peek() throws(JSONError) -> JSONKind {
        switch try nextByte() {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .bool
        case UInt8(ascii: "n"): return .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        default: throw JSONError(.unexpectedByte, at: position)
        }
    }

    package mutating func beginObject() throws(JSONError) { try begin(UInt8(ascii: "{"), .object) }

    /// The next member's name, with the reader in front of its value; nil behind the closing brace.
    package mutating func nextMember() throws(JSONError) -> JSONString? {
        guard try advance(to: UInt8(ascii: "}")) else { return nil }
        guard try nextByte() == UInt8(ascii: "\"") else {
            throw JSONError(.unexpectedByte, at: position)
        }
        let name = try readString()
        guard try nextByte() == UInt8(ascii: ":") else {
            throw JSONError(.unexpectedByte, at: position)
        }
        position += 1
        return name
    }

    package mutating func beginArray() throws(JSONError) { try begin(UInt8(ascii: "["), .array) }

    /// Whether another element follows, with the reader in front of it; false behind the bracket.
    package mutating func nextElement() throws(JSONError) -> Bool {
        try advance(to: UInt8(ascii: "]"))
    }

    /// Only white space may follow.
    package mutating func end() throws(JSONError) {
        skipWhiteSpace()
        if position < limit { throw JSONError(.trailingBytes, at: position) }
    }

    private mutating func begin(_ opening: UInt8, _ kind: JSONKind) throws(JSONError) {
        guard try peek() == kind else { throw JSONError(.wrongKind, at: position) }
        position += 1
        isFirst = true
    }

    /// To the next element or member; false, behind it, at the closing byte.
    private mutating func advance(to closing: UInt8) throws(JSONError) -> Bool {
        var byte = try nextByte()
        if byte == closing {
            position += 1
            isFirst = false
            return false
        }
        if !isFirst {
            guard byte == UInt8(ascii: ",") else { throw JSONError(.unexpectedByte, at: position) }
            position += 1
            byte = try nextByte()
            // A comma promises another one: `[1,]`.
            if byte == closing { throw JSONError(.unexpectedByte, at: position) }
        }
        isFirst = false
        return true
    }

    // MARK: - Values

    package mutating func readString() throws(JSONError) -> JSONString {
        guard try peek() == .string else { throw JSONError(.wrongKind, at: position) }
        let start = position + 1
        let (end, hasEscapes) = try scanString(bytes.span, from: start, limit: limit)
        position = end + 1
        isFirst = false
        return JSONString(range: start..<end, hasEscapes: hasEscapes)
    }

    package mutating func readBool() throws(JSONError) -> Bool {
        guard try peek() == .bool else { throw JSONError(.wrongKind, at: position) }
        let isTrue = bytes[position] == UInt8(ascii: "t")
        _ = try skipValue()
        return isTrue
    }

    package mutating func readNull() throws(JSONError) {
        guard try peek() == .null else { throw JSONError(.wrongKind, at: position) }
        _ = try skipValue()
    }

    /// An integer without fraction or exponent that fits 64 bits; else `.notAnInteger`.
    package mutating func readInt64() throws(JSONError) -> Int64 {
        guard try peek() == .number else { throw JSONError(.wrongKind, at: position) }
        let range = try skipValue()
        let isNegative = bytes[range.lowerBound] == UInt8(ascii: "-")
        var value: Int64 = 0
        for index in (range.lowerBound + (isNegative ? 1 : 0))..<range.upperBound {
            let digit = Int64(bytes[index]) - 0x30
            let (product, overflowed) = value.multipliedReportingOverflow(by: 10)
            let (sum, carried) =
                isNegative
                ? product.subtractingReportingOverflow(digit)
                : product.addingReportingOverflow(digit)
            guard (0...9).contains(digit), !overflowed, !carried else {
                throw JSONError(.notAnInteger, at: range.lowerBound)
            }
            value = sum
        }
        return value
    }

    /// Checks the next value wholly and returns the bytes it occupies, byte for byte as they came.
    package mutating func skipValue() throws(JSONError) -> Range<Int> {
        skipWhiteSpace()
        let start = position
        position = try scanValue(bytes.span, from: start, limit: limit)
        isFirst = false
        return start..<position
    }

    // MARK: - Strings

    /// Whether the string, unescaped, is `text`, byte for byte. Allocates nothing.
    package func matches(_ string: JSONString, _ text: String) -> Bool {
        let wanted = text.utf8.span
        if string.hasEscapes { return isUnescaped(bytes.span, string.range, wanted) }
        guard string.range.count == wanted.count else { return false }
        let given = bytes.span.extracting(string.range)
        for at in 0..<wanted.count where given[at] != wanted[at] { return false }
        return true
    }

    /// The string unescaped, as UTF-8. `.loneSurrogate` where an escape is half a pair.
    package func decode(_ string: JSONString) throws(JSONError) -> [UInt8] {
        if !string.hasEscapes { return Array(bytes[string.range]) }
        return try unescape(bytes, string.range)
    }

    package func text(_ string: JSONString) throws(JSONError) -> String {
        if !string.hasEscapes { return String(decoding: bytes[string.range], as: UTF8.self) }
        return String(decoding: try decode(string), as: UTF8.self)
    }

    // MARK: - Helpers

    private mutating func skipWhiteSpace() {
        while position < limit, isWhiteSpace(bytes[position]) { position += 1 }
    }

    /// The next byte that is no white space, not taken.
    private mutating func nextByte() throws(JSONError) -> UInt8 {
        skipWhiteSpace()
        guard position < limit else { throw JSONError(.unexpectedEnd, at: position) }
        return bytes[position]
    }
}

package enum JSONKind: Sendable { case object, array, string, number, bool, null }

/// A string in the text, checked (escapes, control bytes, UTF-8) and not yet unescaped.
package struct JSONString: Sendable {
    /// Between the quotes.
    package var range: Range<Int>
    package var hasEscapes: Bool

    package init(range: Range<Int>, hasEscapes: Bool) {
        self.range = range
        self.hasEscapes = hasEscapes
    }
}

/// Whether bytes are exactly one JSON value, white space around it allowed.
package func isJSON(_ bytes: [UInt8], in range: Range<Int>) -> Bool {
    let (text, limit) = (bytes.span, range.upperBound)
    let start = skipWhiteSpace(text, range.lowerBound, limit)
    guard let end = try? scanValue(text, from: start, limit: limit) else { return false }
    return skipWhiteSpace(text, end, limit) == limit
}
