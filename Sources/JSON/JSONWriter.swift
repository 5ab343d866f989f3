/// Writes JSON into bytes; commas and quotes come by themselves. Misuse (a value where a name is due)
/// is not checked: what writes is our own code.
package struct JSONWriter: Sendable {
    package var bytes: [UInt8] = []
    private var needsComma = false

    package init() {}

    // MARK: - Structure

    package mutating func beginObject() { open(UInt8(ascii: "{")) }
    package mutating func endObject() { close(UInt8(ascii: "}")) }
    package mutating func beginArray() { open(UInt8(ascii: "[")) }
    package mutating func endArray() { close(UInt8(ascii: "]")) }

    /// A member's name; plain ASCII without quotes or backslashes.
    package mutating func name(_ name: String) {
        separate()
        bytes.append(UInt8(ascii: "\""))
        bytes.append(contentsOf: name.utf8)
        bytes.append(UInt8(ascii: "\""))
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    package mutating func name(utf8 name: ArraySlice<UInt8>) {
        string(utf8: name)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    /// Ends a text that is a line of its own: a line feed, and the next value begins anew.
    package mutating func endLine() {
        bytes.append(UInt8(ascii: "\n"))
        needsComma = false
    }

    // MARK: - Values

    package mutating func integer(_ value: Int64) {
        separate()
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        var rest = value.magnitude
        var divisor: UInt64 = 1
        while rest / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest / divisor))
            rest %= divisor
            divisor /= 10
        }
    }

    package mutating func bool(_ value: Bool) {
        separate()
        if value { bytes.append(contentsOf: "true".utf8) } else { bytes.append(contentsOf: "false".utf8) }
    }

    package mutating func null() {
        separate()
        bytes.append(contentsOf: "null".utf8)
    }

    package mutating func string(_ value: String) {
        string(utf8: Array(value.utf8)[...])
    }

    /// `value` must be UTF-8: escapes quotes, backslashes, control bytes; nothing else.
    package mutating func string(utf8 value: ArraySlice<UInt8>) {
        separate()
        bytes.append(UInt8(ascii: "\""))
        var start = value.startIndex
        for at in value.indices {
            let byte = value[at]
            if byte < 0x20 || byte == 0x22 || byte == 0x5C || byte == 0x7F {
                bytes.append(contentsOf: value[start..<at])
                escape(byte)
                start = at + 1
            }
        }
        bytes.append(contentsOf: value[start...])
        bytes.append(UInt8(ascii: "\""))
    }

    /// A value that is JSON already.
    package mutating func raw(_ value: ArraySlice<UInt8>) {
        separate()
        bytes.append(contentsOf: value)
    }

    /// The same with CR and LF turned into spaces, for forms where a line is a record: in JSON they
    /// can only be white space.
    package mutating func rawOnOneLine(_ value: ArraySlice<UInt8>) {
        separate()
        let start = bytes.count
        bytes.append(contentsOf: value)
        for at in start..<bytes.count where bytes[at] == 0x0A || bytes[at] == 0x0D {
            bytes[at] = 0x20
        }
    }

    // MARK: - Helpers

    private mutating func open(_ bracket: UInt8) {
        separate()
        bytes.append(bracket)
        needsComma = false
    }

    private mutating func close(_ bracket: UInt8) {
        bytes.append(bracket)
        needsComma = true
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func escape(_ byte: UInt8) {
        bytes.append(UInt8(ascii: "\\"))
        switch byte {
        case 0x22, 0x5C: bytes.append(byte)
        case 0x08: bytes.append(UInt8(ascii: "b"))
        case 0x09: bytes.append(UInt8(ascii: "t"))
        case 0x0A: bytes.append(UInt8(ascii: "n"))
        case 0x0C: bytes.append(UInt8(ascii: "f"))
        case 0x0D: bytes.append(UInt8(ascii: "r"))
        default:
            bytes.append(contentsOf: "u00".utf8)
            for digit in [byte >> 4, byte & 15] {
                bytes.append(digit < 10 ? 0x30 + digit : 0x61 + digit - 10)
            }
        }
    }
}
