/// A field section of HTTP/2 as it came out of HPACK: pseudo-fields, then fields.
struct FieldBlock {
    /// Names and values, one behind the other.
    var bytes: [UInt8] = []
    var fields: [(name: Range<Int>, value: Range<Int>)] = []
    /// RFC 9113 §6.5.2: names, values and 32 bytes for each field; counted on where none is kept.
    var listBytes = 0
    var isTooLarge = false

    mutating func append(
        _ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>, _ limits: Limits
    ) {
        listBytes += name.count + value.count + 32
        if listBytes > limits.headBytes || fields.count >= limits.fieldCount + 4 {
            isTooLarge = true
        }
        guard !isTooLarge else { return }
        let start = bytes.count
        bytes.append(contentsOf: name)
        let middle = bytes.count
        bytes.append(contentsOf: value)
        fields.append((start..<middle, middle..<bytes.count))
    }
}

extension RequestHead {
    /// Takes over a request's field section, checked as strictly as a head of HTTP/1.1:
    /// libnghttp2 has looked at it, but what reaches a handler must not rest on that alone
    /// (RELIABILITY.md d-2).
    mutating func take(_ block: FieldBlock, _ limits: Limits) throws(ProtocolProblem) {
        reset()
        guard !block.isTooLarge else { throw .headTooLarge }
        let pseudo = try PseudoFields(block)
        method = try RequestLine.method(block.bytes, pseudo.method)
        try takeTarget(block.bytes[pseudo.path], limits)
        for field in block.fields.dropFirst(pseudo.count) {
            try add(block.bytes[field.name], block.bytes[field.value])
        }
        if let range = pseudo.authority {
            let start = bytes.count
            bytes.append(contentsOf: block.bytes[range])
            authority = start..<bytes.count
            if value(of: .host) == nil { try add("host".utf8Bytes[...], block.bytes[range]) }
        }
        try checkFraming()
    }

    /// RFC 9113 §8.3.1: the path with its query as in origin-form, or `*` for OPTIONS.
    private mutating func takeTarget(
        _ path: ArraySlice<UInt8>, _ limits: Limits
    ) throws(ProtocolProblem) {
        guard path.count <= limits.requestLineBytes else { throw .targetTooLong }
        guard path.first == UInt8(ascii: "/") || path.elementsEqual("*".utf8) else {
            throw .malformedRequest
        }
        bytes.append(contentsOf: path)
        try RequestLine.setTarget(&self, 0..<bytes.count)
    }

    private mutating func add(
        _ name: ArraySlice<UInt8>, _ value: ArraySlice<UInt8>
    ) throws(ProtocolProblem) {
        let start = bytes.count
        bytes.append(contentsOf: name)
        let middle = bytes.count
        bytes.append(contentsOf: value)
        let nameRange = start..<middle
        let valueRange = middle..<bytes.count
        guard !nameRange.isEmpty,
            bytes[nameRange].allSatisfy({ isTokenByte($0) && lowercased($0) == $0 }),
            // RFC 9113 §8.2.1: white space around a value is malformed.
            try fieldValue(bytes, valueRange) == valueRange
        else { throw .malformedRequest }
        try checkConnectionFields(nameRange, valueRange)
        fields.append((nameRange, valueRange))
        try fileLastField()
    }

    /// RFC 9113 §8.2.2: fields that are about a connection belong to HTTP/1.1.
    private func checkConnectionFields(
        _ name: Range<Int>, _ value: Range<Int>
    ) throws(ProtocolProblem) {
        for refused in Self.connectionFields where bytes[name].elementsEqual(refused.utf8) {
            throw .malformedRequest
        }
        if bytes[name].elementsEqual("te".utf8), !matches(value, "trailers") {
            throw .malformedRequest
        }
    }

    private static let connectionFields = [
        "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade",
    ]
}

/// The four pseudo-fields of a request (RFC 9113 §8.3.1), each at most once and in front of all
/// fields.
private struct PseudoFields {
    var method: Range<Int>
    var path: Range<Int>
    var authority: Range<Int>?
    var count = 0

    init(_ block: FieldBlock) throws(ProtocolProblem) {
        var method: Range<Int>?
        var path: Range<Int>?
        var scheme: Range<Int>?
        for field in block.fields {
            let name = block.bytes[field.name]
            guard name.first == UInt8(ascii: ":") else { break }
            count += 1
            if name.elementsEqual(":method".utf8), method == nil {
                method = field.value
            } else if name.elementsEqual(":path".utf8), path == nil {
                path = field.value
            } else if name.elementsEqual(":scheme".utf8), scheme == nil {
                scheme = field.value
            } else if name.elementsEqual(":authority".utf8), authority == nil {
                authority = field.value
            } else {
                throw .malformedRequest
            }
        }
        guard let method else { throw .malformedRequest }
        // CONNECT has neither path nor scheme, and is refused for its name.
        _ = try RequestLine.method(block.bytes, method)
        guard let path, let scheme,
            block.bytes[scheme].elementsEqual("http".utf8)
                || block.bytes[scheme].elementsEqual("https".utf8)
        else { throw .malformedRequest }
        self.method = method
        self.path = path
    }
}

extension String {
    var utf8Bytes: [UInt8] { Array(utf8) }
}
