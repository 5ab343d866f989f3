package import HTTPServer
import JSON

/// The parameters of a request's query, checked: each known to the route, none twice, decoded once.
///
/// Form encoding (`+` is a space), as curl's `--data-urlencode` and every browser write it. What
/// decodes to NUL, another control byte, or no UTF-8 is refused (RELIABILITY.md, attack table).
package struct Query {
    /// What the route takes; `values` names them by their index here.
    private let names: [String]
    private var values: [(name: Int, value: [UInt8])] = []

    /// The query of a request. `names` are the parameters its route takes.
    package init(_ head: borrowing RequestHead, names: [String]) throws(Problem) {
        self.names = names
        if let range = head.query { try parse(head.bytes, range) }
    }

    /// The query in `range` of `bytes`, without `?`.
    package init(_ bytes: [UInt8], in range: Range<Int>, names: [String]) throws(Problem) {
        self.names = names
        try parse(bytes, range)
    }

    // MARK: - Values

    /// The value as it was given, percent-decoded; nil where the parameter is absent.
    package func bytes(_ name: String) -> [UInt8]? {
        values.first { names[$0.name] == name }?.value
    }

    package func text(_ name: String) -> String? {
        bytes(name).map { String(decoding: $0, as: UTF8.self) }
    }

    /// A whole number in decimal digits, within `range`.
    package func integer(
        _ name: String, in range: ClosedRange<Int64> = 0...Int64.max
    ) throws(Problem) -> Int64? {
        guard let value = bytes(name) else { return nil }
        guard let number = Int64(digits: value[...]) else {
            throw refusal(name, "must be a whole number in digits")
        }
        guard range.contains(number) else {
            let bounds =
                range.upperBound == .max
                ? "\(range.lowerBound) or more" : "\(range.lowerBound) to \(range.upperBound)"
            throw refusal(name, "must be \(bounds)")
        }
        return number
    }

    /// The index in `choices` of the value.
    package func choice(_ name: String, of choices: [String]) throws(Problem) -> Int? {
        guard let value = bytes(name) else { return nil }
        for (index, choice) in choices.enumerated() where choice.utf8.elementsEqual(value) {
            return index
        }
        throw refusal(name, "must be one of \(choices.joined(separator: ", "))")
    }

    /// The problem of a parameter whose value is not what the route takes; `reason` begins with a
    /// verb: "must be …".
    package func refusal(_ name: String, _ reason: String) -> Problem {
        Problem(
            .invalidParameter, "The query parameter \(name) \(reason).",
            [("parameter", .string(name))])
    }

    // MARK: - Parsing

    private mutating func parse(_ bytes: [UInt8], _ range: Range<Int>) throws(Problem) {
        var start = range.lowerBound
        while start < range.upperBound {
            var end = start
            while end < range.upperBound, bytes[end] != UInt8(ascii: "&") { end += 1 }
            if end > start { try parsePair(bytes, start..<end) }
            start = end + 1
        }
    }

    private mutating func parsePair(_ bytes: [UInt8], _ range: Range<Int>) throws(Problem) {
        var equals = range.lowerBound
        while equals < range.upperBound, bytes[equals] != UInt8(ascii: "=") { equals += 1 }
        guard let name = decode(bytes, range.lowerBound..<equals),
            let value = decode(bytes, min(equals + 1, range.upperBound)..<range.upperBound)
        else {
            throw Problem(
                .invalidParameter,
                "The query holds a percent sign without two hex digits, a control byte, "
                    + "or bytes that are not UTF-8 when decoded.")
        }
        guard let index = names.firstIndex(where: { $0.utf8.elementsEqual(name) }) else {
            throw unknown(name)
        }
        if values.contains(where: { $0.name == index }) {
            throw refusal(names[index], "is given twice; give it once")
        }
        values.append((index, value))
    }

    private func unknown(_ name: [UInt8]) -> Problem {
        let shown = String(decoding: name.prefix(64), as: UTF8.self)
        let known =
            names.isEmpty ? "This route takes none" : "Known: \(names.joined(separator: ", "))"
        return Problem(
            .unknownParameter, "There is no query parameter of the name \(shown). \(known).",
            [("parameter", .string(shown))])
    }

    /// Percent-decoded once; nil where that is not possible or brings what no name or value holds.
    private func decode(_ bytes: [UInt8], _ range: Range<Int>) -> [UInt8]? {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(range.count)
        var at = range.lowerBound
        while at < range.upperBound {
            var byte = bytes[at]
            at += 1
            if byte == UInt8(ascii: "+") {
                byte = 0x20
            } else if byte == UInt8(ascii: "%") {
                guard at + 2 <= range.upperBound, let high = hexDigit(bytes[at]),
                    let low = hexDigit(bytes[at + 1])
                else { return nil }
                byte = high << 4 | low
                at += 2
            }
            guard byte >= 0x20, byte != 0x7F else { return nil }
            decoded.append(byte)
        }
        return isUTF8(decoded[...]) ? decoded : nil
    }
}

/// The value of a hexadecimal digit in either case.
func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - 0x30
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - 0x61 + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - 0x41 + 10
    default: nil
    }
}

extension Int64 {
    /// A number written in 1 to 19 decimal digits, nothing else; nil where it is not or does not
    /// fit.
    init?(digits: ArraySlice<UInt8>) {
        guard (1...19).contains(digits.count) else { return nil }
        var value: Int64 = 0
        for byte in digits {
            let digit = Int64(byte) - 0x30
            let (product, overflowed) = value.multipliedReportingOverflow(by: 10)
            let (sum, carried) = product.addingReportingOverflow(digit)
            guard (0...9).contains(digit), !overflowed, !carried else { return nil }
            value = sum
        }
        self = value
    }
}
