/// How a request's body is delimited (RFC 9112 §6.3).
enum BodyFraming: Equatable {
    case none
    case length(Int)
    case chunked
}

extension RequestHead {
    /// What must hold of the fields together before a handler may see the request.
    func checkFraming() throws(ProtocolProblem) {
        try checkHost()
        _ = try framing()
        for range in values(of: .expect) where !matches(range, "100-continue") {
            throw .expectationFailed
        }
    }

    /// RFC 9112 §3.2: one Host, well-formed, and the same as an absolute target's authority.
    private func checkHost() throws(ProtocolProblem) {
        guard let host = value(of: .host) else {
            guard isHTTP10 else { throw .malformedRequest }
            return
        }
        guard Host.isValid(bytes[host]) else { throw .malformedRequest }
        if let authority {
            let same = bytes[authority].lazy.map(lowercased)
                .elementsEqual(bytes[host].lazy.map(lowercased))
            guard same else { throw .malformedRequest }
        }
    }

    func framing() throws(ProtocolProblem) -> BodyFraming {
        let length = value(of: .contentLength)
        if let coding = value(of: .transferEncoding) {
            // RFC 9112 §6.1: two framings in one message can hide a second one; refuse it.
            guard length == nil, !isHTTP10 else { throw .malformedRequest }
            if matches(coding, "chunked") { return .chunked }
            let isToken = !coding.isEmpty && bytes[coding].allSatisfy(isTokenByte)
            throw isToken ? .unknownTransferCoding : .malformedRequest
        }
        guard let length else { return .none }
        guard !length.isEmpty, length.count <= 19, bytes[length].allSatisfy(isDigit),
            length.count == 1 || bytes[length.lowerBound] != UInt8(ascii: "0")
        else { throw .malformedRequest }
        var value = 0
        for digit in bytes[length] {
            let (product, overflowed) = value.multipliedReportingOverflow(by: 10)
            let (sum, carried) = product.addingReportingOverflow(Int(digit &- 0x30))
            guard !overflowed, !carried else { throw .malformedRequest }
            value = sum
        }
        return value == 0 ? .none : .length(value)
    }

    /// What `Connection` and the version say (RFC 9112 §9.3).
    var keepsAlive: Bool {
        var keepsAlive = !isHTTP10
        for line in values(of: .connection) {
            var start = line.lowerBound
            while start < line.upperBound {
                let end =
                    bytes[start..<line.upperBound].firstIndex(of: UInt8(ascii: ","))
                    ?? line.upperBound
                let option = trimmed(bytes, start..<end)
                if matches(option, "close") { return false }
                if matches(option, "keep-alive") { keepsAlive = true }
                start = end + 1
            }
        }
        return keepsAlive
    }

    var expectsContinue: Bool { !isHTTP10 && value(of: .expect) != nil }

    func matchesPrefix(_ range: Range<Int>, _ prefix: String) -> Bool {
        range.count >= prefix.utf8.count
            && zip(bytes[range], prefix.utf8).allSatisfy { lowercased($0) == $1 }
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2), without the user part and sub-delimiters nobody needs.
package enum Host {
    package static func isValid(_ bytes: ArraySlice<UInt8>) -> Bool {
        var port = bytes[bytes.endIndex...]
        var name = bytes
        if bytes.first == UInt8(ascii: "[") {
            guard let close = bytes.firstIndex(of: UInt8(ascii: "]")) else { return false }
            name = bytes[(bytes.startIndex + 1)..<close]
            let rest = bytes[(close + 1)...]
            guard rest.isEmpty || rest.first == UInt8(ascii: ":") else { return false }
            port = rest.dropFirst()
            guard
                name.allSatisfy({
                    isHexDigit($0) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".")
                })
            else { return false }
        } else if let colon = bytes.firstIndex(of: UInt8(ascii: ":")) {
            name = bytes[..<colon]
            port = bytes[(colon + 1)...]
        }
        guard !name.isEmpty, port.allSatisfy(isDigit), port.count <= 5 else { return false }
        guard port.reduce(0, { $0 * 10 + Int($1 - 0x30) }) <= 65_535 else { return false }
        return bytes.first == UInt8(ascii: "[") || name.allSatisfy(isNameByte)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        isDigit(byte) || (byte | 0x20) &- 0x61 < 26 || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "~")
    }
}
