/// Takes the chunked coding (RFC 9112 §7.1) off a body, byte by byte and strictly: CRLF only, sizes
/// in plain hex, extensions by their grammar, trailer fields checked and dropped.
package struct ChunkDecoder: Sendable {
    private enum State {
        case size
        case extensionName, extensionValue, extensionToken, extensionQuoted, extensionEscape
        case extensionQuotedEnd
        case sizeLF
        case data, dataCR, dataLF
        case trailerStart, trailer, trailerLF, endLF
        case done
    }

    private let chunkBytes: Int
    private let extensionLimit: Int
    private let trailerLimit: Int
    private let fieldCount: Int
    private var state = State.size
    private var digits = 0
    private var size = 0
    private var extensionBytes = 0
    private var tokenBytes = 0
    private var trailerBytes = 0
    private var trailerCount = 0
    private var trailerLine: [UInt8] = []

    package init(_ limits: Limits) {
        chunkBytes = limits.chunkBytes
        extensionLimit = limits.chunkExtensionBytes
        trailerLimit = limits.headBytes
        fieldCount = limits.fieldCount
    }

    package var isDone: Bool { state == .done }

    // MARK: - Hot path

    /// Goes on at `position` of `input`: returns the next bytes of the body, at most `most` of
    /// them, or nil when the body is done or more input is needed. `position` moves behind what was
    /// used.
    package mutating func next(
        _ input: [UInt8], at position: inout Int, most: Int
    ) throws(ProtocolProblem) -> Range<Int>? {
        while position < input.count, state != .done {
            if state == .data {
                let count = min(size, input.count - position, most)
                let range = position..<(position + count)
                position += count
                size -= count
                if size == 0 { state = .dataCR }
                return range
            }
            try step(input[position])
            position += 1
        }
        return nil
    }

    private mutating func step(_ byte: UInt8) throws(ProtocolProblem) {
        switch state {
        case .size: try stepSize(byte)
        case .extensionName, .extensionValue, .extensionToken, .extensionQuoted, .extensionEscape,
            .extensionQuotedEnd:
            try stepExtension(byte)
        case .sizeLF:
            try expect(byte, 0x0A)
            state = size == 0 ? .trailerStart : .data
            digits = 0
        case .dataCR:
            try expect(byte, 0x0D)
            state = .dataLF
        case .dataLF:
            try expect(byte, 0x0A)
            state = .size
        case .trailerStart, .trailer, .trailerLF: try stepTrailer(byte)
        case .endLF:
            try expect(byte, 0x0A)
            state = .done
        case .data, .done: break
        }
    }

    private func expect(_ byte: UInt8, _ wanted: UInt8) throws(ProtocolProblem) {
        if byte != wanted { throw .malformedRequest }
    }

    private mutating func stepSize(_ byte: UInt8) throws(ProtocolProblem) {
        if isHexDigit(byte) {
            digits += 1
            guard digits <= 16 else { throw .malformedRequest }
            let digit = isDigit(byte) ? Int(byte - 0x30) : Int((byte | 0x20) - 0x61) + 10
            guard size <= Int.max >> 4 else { throw .malformedRequest }
            size = size << 4 | digit
            // Refused at the size line, without waiting for what it announces.
            guard size <= chunkBytes else { throw .chunkTooLarge }
            return
        }
        guard digits > 0 else { throw .malformedRequest }
        try afterSize(byte)
    }

    /// Behind the size or an extension: another extension, or the end of the line.
    private mutating func afterSize(_ byte: UInt8) throws(ProtocolProblem) {
        switch byte {
        case 0x0D: state = .sizeLF
        case UInt8(ascii: ";"):
            tokenBytes = 0
            state = .extensionName
        default: throw .malformedRequest
        }
    }

    /// `;name`, `;name=token`, `;name="quoted"` (RFC 9112 §7.1.1).
    private mutating func stepExtension(_ byte: UInt8) throws(ProtocolProblem) {
        extensionBytes += 1
        guard extensionBytes <= extensionLimit else { throw .malformedRequest }
        switch state {
        case .extensionName where isTokenByte(byte), .extensionToken where isTokenByte(byte):
            tokenBytes += 1
        case .extensionName where byte == UInt8(ascii: "=") && tokenBytes > 0:
            tokenBytes = 0
            state = .extensionValue
        case .extensionValue where byte == UInt8(ascii: "\""): state = .extensionQuoted
        case .extensionValue where isTokenByte(byte):
            tokenBytes = 1
            state = .extensionToken
        case .extensionName where tokenBytes > 0, .extensionToken: try afterSize(byte)
        case .extensionQuoted where byte == UInt8(ascii: "\""): state = .extensionQuotedEnd
        case .extensionQuoted where byte == UInt8(ascii: "\\"): state = .extensionEscape
        case .extensionQuoted, .extensionEscape:
            guard byte >= 0x20 || byte == 0x09, byte != 0x7F else { throw .malformedRequest }
            state = .extensionQuoted
        case .extensionQuotedEnd: try afterSize(byte)
        default: throw .malformedRequest
        }
    }

    /// RFC 9110 §6.5.1: trailers are never merged into the header; ours end here.
    private mutating func stepTrailer(_ byte: UInt8) throws(ProtocolProblem) {
        trailerBytes += 1
        guard trailerBytes <= trailerLimit else { throw .headTooLarge }
        switch state {
        case .trailerStart where byte == 0x0D: state = .endLF
        case .trailerStart:
            trailerCount += 1
            guard trailerCount <= fieldCount else { throw .headTooLarge }
            trailerLine = [byte]
            state = .trailer
        case .trailer where byte == 0x0D: state = .trailerLF
        case .trailer where byte == 0x0A: throw .malformedRequest
        case .trailer: trailerLine.append(byte)
        default:
            try expect(byte, 0x0A)
            try checkTrailer()
            state = .trailerStart
        }
    }

    private func checkTrailer() throws(ProtocolProblem) {
        guard let colon = trailerLine.firstIndex(of: UInt8(ascii: ":")), colon > 0,
            trailerLine[..<colon].allSatisfy(isTokenByte)
        else { throw .malformedRequest }
        _ = try fieldValue(trailerLine, (colon + 1)..<trailerLine.count)
    }
}
