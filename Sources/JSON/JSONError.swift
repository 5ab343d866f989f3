/// Why a text is not the JSON that was asked for, and where.
package struct JSONError: Error, Equatable {
    package enum Reason: Equatable, Sendable {
        case unexpectedEnd, unexpectedByte, badEscape, badNumber, badUTF8, controlByte
        case tooDeep, trailingBytes, wrongKind, notAnInteger, loneSurrogate
    }

    package var reason: Reason
    /// Offset in the text, in bytes from 0, of the first byte that cannot be right, or of its end.
    /// For `wrongKind` and `notAnInteger` where the value begins, for `loneSurrogate` the
    /// backslash.
    package var position: Int

    package init(_ reason: Reason, at position: Int) {
        self.reason = reason
        self.position = position
    }

    /// A sentence for the problem's `detail`, without the position.
    package var explanation: String {
        switch reason {
        case .unexpectedEnd: "the text ends too early."
        case .unexpectedByte: "this byte cannot stand here."
        case .badEscape: "this is no escape of JSON; write a backslash as \\\\."
        case .badNumber: "this is no number of JSON."
        case .badUTF8: "this is not UTF-8."
        case .controlByte: "a control byte in a string must be escaped, such as \\n or \\u0001."
        case .tooDeep: "arrays and objects may be nested \(Limits.depth) deep at most."
        case .trailingBytes: "something follows where the text should end."
        case .wrongKind: "another kind of value is wanted here."
        case .notAnInteger:
            "a whole number of 64 bits, without fraction or exponent, is wanted here."
        case .loneSurrogate: "this \\u escape is one half of a surrogate pair without the other."
        }
    }
}
