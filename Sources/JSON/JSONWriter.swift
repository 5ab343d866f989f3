/// Writes JSON into bytes; commas and quotes come by themselves. Misuse (a value where a name is
/// due) is not checked: what writes is our own code.
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
        let text = name.utf8.span
        let isFirst = !needsComma
        // At once: each append on its own would look whether there is room.
        bytes.append(addingCapacity: text.count + 4) { (output: inout OutputSpan<UInt8>) in
            if !isFirst { output.append(UInt8(ascii: ",")) }
            output.append(UInt8(ascii: "\""))
            for index in text.indices { output.append(text[index]) }
            output.append(UInt8(ascii: "\""))
            output.append(UInt8(ascii: ":"))
        }
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
        // 2⁶³ has 19 digits; they come last one first, in pairs.
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var start = 20
        var rest = value.magnitude
        repeat {
            let pair = UInt8(truncatingIfNeeded: rest % 100)
            rest /= 100
            start -= 2
            digits[start] = UInt8(ascii: "0") &+ pair / 10
            digits[start + 1] = UInt8(ascii: "0") &+ pair % 10
        } while rest > 0
        if digits[start] == UInt8(ascii: "0") { start += 1 }
        bytes.append(addingCapacity: 20) { (output: inout OutputSpan<UInt8>) in
            if value < 0 { output.append(UInt8(ascii: "-")) }
            for index in start..<20 { output.append(digits[index]) }
        }
    }

    package mutating func bool(_ value: Bool) {
        separate()
        if value {
            bytes.append(contentsOf: "true".utf8)
        } else {
            bytes.append(contentsOf: "false".utf8)
        }
    }

    package mutating func null() {
        separate()
        bytes.append(contentsOf: "null".utf8)
    }

    package mutating func string(_ value: String) {
        let utf8 = value.utf8
        guard skipUnescaped(utf8.span, 0) == utf8.count else {
            return string(utf8: Array(utf8)[...])
        }
        separate()
        bytes.append(UInt8(ascii: "\""))
        bytes.append(contentsOf: utf8)
        bytes.append(UInt8(ascii: "\""))
    }

    /// `value` must be UTF-8: escapes quotes, backslashes, control bytes and DEL; nothing else.
    package mutating func string(utf8 value: ArraySlice<UInt8>) {
        separate()
        bytes.append(UInt8(ascii: "\""))
        let text = value.span
        var start = 0
        while true {
            let end = skipUnescaped(text, start)
            bytes.append(contentsOf: value[value.startIndex + start..<value.startIndex + end])
            if end == text.count { break }
            escape(text[end])
            start = end + 1
        }
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
        var written = bytes.mutableSpan
        for at in start..<written.count where written[at] == 0x0A || written[at] == 0x0D {
            written[at] = 0x20
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
            bytes.append(hex(byte >> 4))
            bytes.append(hex(byte & 15))
        }
    }

    private func hex(_ digit: UInt8) -> UInt8 { digit < 10 ? 0x30 + digit : 0x61 + digit - 10 }
}
