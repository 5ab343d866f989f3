/// Reads JSON (RFC 8259) in order, by asking for what should come next. There is no tree: a value can
/// be taken as the raw slice it occupies, checked but untouched.
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

    /// Reads the text in `range` of `bytes` (all of it if nil); ranges given out are of `bytes`.
    package init(_ bytes: [UInt8], in range: Range<Int>? = nil) { fatalError() }

    /// What kind of value comes next, without taking it.
    package mutating func peek() throws(JSONError) -> JSONKind { fatalError() }

    package mutating func beginObject() throws(JSONError) { fatalError() }
    /// The next member's name, with the reader in front of its value; nil behind the closing brace.
    package mutating func nextMember() throws(JSONError) -> JSONString? { fatalError() }
    package mutating func beginArray() throws(JSONError) { fatalError() }
    /// Whether another element follows, with the reader in front of it; false behind the bracket.
    package mutating func nextElement() throws(JSONError) -> Bool { fatalError() }

    package mutating func readString() throws(JSONError) -> JSONString { fatalError() }
    package mutating func readBool() throws(JSONError) -> Bool { fatalError() }
    package mutating func readNull() throws(JSONError) { fatalError() }
    /// An integer without fraction or exponent that fits 64 bits; else `.notAnInteger`.
    package mutating func readInt64() throws(JSONError) -> Int64 { fatalError() }

    /// Checks the next value wholly and returns the bytes it occupies, byte for byte as they came.
    package mutating func skipValue() throws(JSONError) -> Range<Int> { fatalError() }

    /// Only white space may follow.
    package mutating func end() throws(JSONError) { fatalError() }

    /// Whether the string, unescaped, is `text`.
    package func matches(_ string: JSONString, _ text: StaticString) -> Bool { fatalError() }
    /// The string unescaped, as UTF-8. `.loneSurrogate` where an escape is half a pair.
    package func decode(_ string: JSONString) throws(JSONError) -> [UInt8] { fatalError() }
    package func text(_ string: JSONString) throws(JSONError) -> String { fatalError() }
}

package enum JSONKind: Sendable { case object, array, string, number, bool, null }

/// A string in the text, checked (escapes, control bytes, UTF-8) and not yet unescaped.
package struct JSONString: Sendable {
    /// Between the quotes.
    package var range: Range<Int>
    package var hasEscapes: Bool
}

package struct JSONError: Error, Equatable {
    package enum Reason: Equatable, Sendable {
        case unexpectedEnd, unexpectedByte, badEscape, badNumber, badUTF8, controlByte
        case tooDeep, trailingBytes, wrongKind, notAnInteger, loneSurrogate
    }
    package var reason: Reason
    /// Byte offset in the text, from 0.
    package var position: Int
    /// A sentence for the problem's `detail`, without the position.
    package var explanation: String { fatalError() }
}
