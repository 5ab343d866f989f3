/// `METHOD SP target SP HTTP/1.x` (RFC 9112 §3), in `head.bytes` from the front.
enum RequestLine {
    static func parse(_ head: inout RequestHead) throws(ProtocolProblem) {
        let end = head.bytes.count
        var at = 0
        while at < end, isTokenByte(head.bytes[at]) { at += 1 }
        guard at > 0, at < end, head.bytes[at] == 0x20 else { throw .malformedRequest }
        let method = 0..<at
        let targetStart = at + 1
        at = targetStart
        while at < end, head.bytes[at] > 0x20, head.bytes[at] < 0x7F { at += 1 }
        let target = targetStart..<at
        guard !target.isEmpty, at < end, head.bytes[at] == 0x20 else { throw .malformedRequest }
        head.isHTTP10 = try version(head.bytes, (at + 1)..<end)
        head.method = try self.method(head.bytes, method)
        try setTarget(&head, target)
    }

    /// True for HTTP/1.0, false for any later 1.x.
    private static func version(
        _ bytes: [UInt8], _ range: Range<Int>
    ) throws(ProtocolProblem) -> Bool {
        guard range.count == 8, begins(bytes, range.lowerBound, with: versionPrefix),
            isDigit(bytes[range.lowerBound + 5]), bytes[range.lowerBound + 6] == UInt8(ascii: "."),
            isDigit(bytes[range.lowerBound + 7])
        else { throw .malformedRequest }
        guard bytes[range.lowerBound + 5] == UInt8(ascii: "1") else { throw .versionNotSupported }
        return bytes[range.lowerBound + 7] == UInt8(ascii: "0")
    }

    static func method(
        _ bytes: [UInt8], _ range: Range<Int>
    ) throws(ProtocolProblem) -> Method {
        if range.count < methodsByLength.count {
            for (name, method) in methodsByLength[range.count]
            where begins(bytes, range.lowerBound, with: name) {
                return method
            }
        }
        for refused in ["CONNECT", "TRACE"] where bytes[range].elementsEqual(refused.utf8) {
            throw .methodNotAllowed
        }
        throw .unknownMethod
    }

    /// Origin-form, absolute-form whose authority the Host must repeat, or `*` for OPTIONS.
    static func setTarget(
        _ head: inout RequestHead, _ target: Range<Int>
    ) throws(ProtocolProblem) {
        var start = target.lowerBound
        if head.bytes[target].elementsEqual("*".utf8), head.method == .options {
            head.path = target
            return
        }
        for scheme in ["http://", "https://"] where head.matchesPrefix(target, scheme) {
            start += scheme.utf8.count
            head.authority =
                start..<(head.bytes[start..<target.upperBound].firstIndex {
                    $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?")
                } ?? target.upperBound)
            start = head.authority!.upperBound
            if start == target.upperBound || head.bytes[start] == UInt8(ascii: "?") {
                // `http://host?query` has an empty path, which is `/` (RFC 9110 §4.2.3).
                let query = head.bytes[start..<target.upperBound]
                start = head.bytes.count
                head.bytes.append(UInt8(ascii: "/"))
                head.bytes.append(contentsOf: query)
                return try split(&head, start..<head.bytes.count)
            }
        }
        guard head.bytes[start] == UInt8(ascii: "/") else { throw .malformedRequest }
        try split(&head, start..<target.upperBound)
    }

    /// Into path and query, each byte one that RFC 3986 allows there.
    private static func split(
        _ head: inout RequestHead, _ target: Range<Int>
    ) throws(ProtocolProblem) {
        var at = target.lowerBound
        var pathEnd: Int?
        while at < target.upperBound {
            let byte = head.bytes[at]
            if byte == UInt8(ascii: "?"), pathEnd == nil {
                pathEnd = at
            } else if byte == UInt8(ascii: "%") {
                guard at + 2 < target.upperBound, isHexDigit(head.bytes[at + 1]),
                    isHexDigit(head.bytes[at + 2])
                else { throw .malformedRequest }
                at += 2
            } else if !targetBytes[Int(byte)] {
                throw .malformedRequest
            }
            at += 1
        }
        head.path = target.lowerBound..<(pathEnd ?? target.upperBound)
        if let pathEnd { head.query = (pathEnd + 1)..<target.upperBound }
    }

    private static let versionPrefix = Array("HTTP/".utf8)

    /// The methods by the length of their names, so that a look-up compares with one or two.
    private static let methodsByLength = (0...7).map { count in
        Method.allCases.map { (Array($0.rawValue.utf8), $0) }.filter { $0.0.count == count }
    }

    /// pchar, `/` and `?` (RFC 3986 §3.3, §3.4), without `%`.
    private static let targetBytes: [Bool] = {
        var table = [Bool](repeating: false, count: 256)
        for byte in "-._~!$&'()*+,;=:@/?0123456789".utf8 { table[Int(byte)] = true }
        for byte in UInt8(ascii: "a")...UInt8(ascii: "z") {
            table[Int(byte)] = true
            table[Int(byte - 0x20)] = true
        }
        return table
    }()
}

/// Whether `text` stands at `start`; there must be as many bytes.
@inline(__always)
private func begins(_ bytes: [UInt8], _ start: Int, with text: [UInt8]) -> Bool {
    var index = 0
    while index < text.count, bytes[start + index] == text[index] { index += 1 }
    return index == text.count
}

@inline(__always)
func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

func isHexDigit(_ byte: UInt8) -> Bool { isDigit(byte) || (byte | 0x20) &- 0x61 < 6 }
