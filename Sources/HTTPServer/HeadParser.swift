/// Reads a request's head line by line as its bytes come, RFC 9112 read strictly: where two parsers
/// could differ, the request is refused. How the bytes were cut into packets changes no verdict.
///
/// A value without I/O: the connection owns the bytes and calls `advance` when there are more.
package struct HeadParser: Sendable {
    package enum Outcome: Equatable, Sendable {
        case needMore
        /// The head ends at this many bytes from its start.
        case complete(byteCount: Int)
        case failed(ProtocolProblem)
    }

    // Not all of `Limits`: what waits for a head keeps this, thousands of times.
    private let headBytes: Int
    private let requestLineBytes: Int
    private let fieldCount: Int
    /// Bytes from the head's start looked at for a line feed.
    private var scanned = 0
    private var lineStart = 0
    private var lineCount = 0
    private var sawEmptyLine = false

    package init(_ limits: Limits) {
        headBytes = limits.headBytes
        requestLineBytes = limits.requestLineBytes
        fieldCount = limits.fieldCount
    }

    /// No byte of a head has come yet.
    var isFresh: Bool { scanned == 0 }

    // MARK: - Hot path

    /// Goes on with `input`, whose head begins at `start`, the same on every call for one head.
    package mutating func advance(
        _ input: [UInt8], from start: Int, into head: inout RequestHead
    ) -> Outcome {
        if isFresh { head.reset() }
        while start + scanned < input.count {
            let byte = input[start + scanned]
            scanned += 1
            if byte != 0x0A {
                if let problem = checkLength() { return .failed(problem) }
                continue
            }
            guard scanned - lineStart >= 2, input[start + scanned - 2] == 0x0D else {
                return .failed(.malformedRequest)
            }
            do {
                if try endLine(input, start, &head) { return .complete(byteCount: scanned) }
            } catch {
                return .failed(error)
            }
            lineStart = scanned
        }
        return .needMore
    }

    private func checkLength() -> ProtocolProblem? {
        if scanned > headBytes { return .headTooLarge }
        return lineCount == 0 && scanned - lineStart > requestLineBytes
            ? .targetTooLong : nil
    }

    /// Takes the line that just ended; true at the end of the head.
    private mutating func endLine(
        _ input: [UInt8], _ start: Int, _ head: inout RequestHead
    ) throws(ProtocolProblem) -> Bool {
        let line = (start + lineStart)..<(start + scanned - 2)
        if lineCount == 0 {
            if line.isEmpty {
                // RFC 9112 §2.2: one empty line in front of a request is passed over.
                guard !sawEmptyLine else { throw .malformedRequest }
                sawEmptyLine = true
                return false
            }
            head.bytes.append(contentsOf: input[line])
            lineCount = 1
            try RequestLine.parse(&head)
            return false
        }
        if line.isEmpty {
            try head.checkFraming()
            return true
        }
        guard lineCount <= fieldCount else { throw .headTooLarge }
        lineCount += 1
        try addField(input, line, &head)
        return false
    }

    /// RFC 9112 §5: `name: value`, no white space before the colon, no folding.
    private func addField(
        _ input: [UInt8], _ line: Range<Int>, _ head: inout RequestHead
    ) throws(ProtocolProblem) {
        let base = head.bytes.count
        head.bytes.append(contentsOf: input[line])
        let end = head.bytes.count
        var at = base
        while at < end, isTokenByte(head.bytes[at]) {
            head.bytes[at] = lowercased(head.bytes[at])
            at += 1
        }
        guard at > base, at < end, head.bytes[at] == UInt8(ascii: ":") else {
            throw .malformedRequest
        }
        let name = base..<at
        let value = try fieldValue(head.bytes, (at + 1)..<end)
        head.fields.append((name, value))
        try head.fileLastField()
    }
}

extension RequestHead {
    /// Files the field under its name, if it is one that is asked for.
    mutating func fileLastField() throws(ProtocolProblem) {
        let name = fields[fields.count - 1].name
        if let known = FieldName.named(bytes, name) {
            guard file(known) else { throw .malformedRequest }
        } else if looksLikeFraming(name) {
            throw .malformedRequest
        }
    }

    /// `transfer_encoding` is another name to us, but the same one to a proxy that maps names to
    /// variables (CGI): refuse what could hide a framing.
    private func looksLikeFraming(_ name: Range<Int>) -> Bool {
        guard name.count == 17 || name.count == 14, bytes[name].contains(UInt8(ascii: "_")) else {
            return false
        }
        let mapped = bytes[name].map { $0 == UInt8(ascii: "_") ? UInt8(ascii: "-") : $0 }
        return mapped.elementsEqual("transfer-encoding".utf8)
            || mapped.elementsEqual("content-length".utf8)
    }
}

/// The value in `range` without white space around it; control bytes are refused (RFC 9110 §5.5).
func fieldValue(_ bytes: [UInt8], _ range: Range<Int>) throws(ProtocolProblem) -> Range<Int> {
    let value = trimmed(bytes, range)
    for index in value {
        let byte = bytes[index]
        if byte < 0x20 && byte != 0x09 || byte == 0x7F { throw .malformedRequest }
    }
    return value
}

/// `range` without the spaces and tabs at its ends.
func trimmed(_ bytes: [UInt8], _ range: Range<Int>) -> Range<Int> {
    var start = range.lowerBound
    var end = range.upperBound
    while start < end, bytes[start] == 0x20 || bytes[start] == 0x09 { start += 1 }
    while start < end, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
    return start..<end
}

/// RFC 9110 §5.6.2: tchar.
@inline(__always)
func isTokenByte(_ byte: UInt8) -> Bool { tokenBytes[Int(byte)] }

private let tokenBytes: [Bool] = {
    var table = [Bool](repeating: false, count: 256)
    for byte in "!#$%&'*+-.^_`|~0123456789".utf8 { table[Int(byte)] = true }
    for byte in UInt8(ascii: "a")...UInt8(ascii: "z") {
        table[Int(byte)] = true
        table[Int(byte - 0x20)] = true
    }
    return table
}()
