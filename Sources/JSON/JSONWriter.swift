/// Writes JSON into bytes; commas and quotes come by themselves. Misuse (a value where a name is due)
/// is not checked: what writes is our own code.
package struct JSONWriter: Sendable {
    package var bytes: [UInt8] = []

    package init() {}

    package mutating func beginObject() { fatalError() }
    package mutating func endObject() { fatalError() }
    package mutating func beginArray() { fatalError() }
    package mutating func endArray() { fatalError() }
    /// A member's name; plain ASCII without quotes or backslashes.
    package mutating func name(_ name: StaticString) { fatalError() }
    package mutating func name(utf8 name: Span<UInt8>) { fatalError() }
    package mutating func integer(_ value: Int64) { fatalError() }
    package mutating func bool(_ value: Bool) { fatalError() }
    package mutating func null() { fatalError() }
    package mutating func string(_ value: String) { fatalError() }
    /// `value` must be UTF-8: escapes quotes, backslashes, control bytes; nothing else.
    package mutating func string(utf8 value: Span<UInt8>) { fatalError() }
    /// A value that is JSON already.
    package mutating func raw(_ value: Span<UInt8>) { fatalError() }
    /// The same with CR and LF turned into spaces, for forms where a line is a record.
    package mutating func rawOnOneLine(_ value: Span<UInt8>) { fatalError() }
}

/// Whether bytes are UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
package func isUTF8(_ bytes: Span<UInt8>) -> Bool { fatalError() }
/// Whether bytes are exactly one JSON value, white space around it allowed.
package func isJSON(_ bytes: [UInt8], in range: Range<Int>) -> Bool { fatalError() }
