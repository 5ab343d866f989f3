import GatewayAPI
import HTTPServer

/// A head at once and byte by byte: one verdict. Then everything that reads heads.
@Sendable
func checkHead(_ bytes: [UInt8]) throws(Contradiction) {
    var whole = HeadParser(HTTPServer.Limits())
    var head = RequestHead()
    let verdict = whole.advance(bytes, from: 0, into: &head)
    var parts = HeadParser(HTTPServer.Limits())
    var again = RequestHead()
    var outcome = HeadParser.Outcome.needMore
    var input: [UInt8] = []
    for byte in bytes where outcome == .needMore {
        input.append(byte)
        outcome = parts.advance(input, from: 0, into: &again)
    }
    try claim(outcome == verdict, "\(verdict) at once, \(outcome) byte by byte")
    guard case .complete(let byteCount) = verdict else { return }
    try claim(byteCount <= bytes.count, "a head of \(byteCount) of \(bytes.count) bytes")
    try claim(shown(head) == shown(again), "\(shown(head)) at once, \(shown(again)) in pieces")
    for name in FieldName.allCases {
        for value in head.values(of: name) {
            _ = acceptNames(head.bytes, in: value, "application/json")
            _ = MediaType(head.bytes, in: value)?.isUTF8(head.bytes)
        }
    }
    _ = RouteTree().match(head.bytes, path: head.path)
    _ = try? Query(head, names: Route.readPartition.parameters)
    var decoded: [UInt8] = []
    _ = try? CloudEventHeaders.record(head, body: [], decoded: &decoded)
}

private func shown(_ head: RequestHead) -> [String] {
    func text(_ range: Range<Int>) -> String { String(decoding: head.bytes[range], as: UTF8.self) }
    var parts = [head.method.rawValue, text(head.path), head.query.map(text) ?? "-"]
    head.forEachField { name, value in parts.append("\(text(name)): \(text(value))") }
    return parts
}

/// A chunked body at once, byte by byte, and by 7 bytes at most: the same body, the same end.
@Sendable
func checkChunks(_ bytes: [UInt8]) throws(Contradiction) {
    func decode(step: Int, most: Int) -> (body: [UInt8], ending: String) {
        var decoder = ChunkDecoder(HTTPServer.Limits())
        var body: [UInt8] = []
        var position = 0
        var input: [UInt8] = []
        while input.count < bytes.count {
            input += bytes[input.count..<min(input.count + step, bytes.count)]
            do {
                while let range = try decoder.next(input, at: &position, most: most) {
                    body += input[range]
                }
            } catch { return (body, "\(error)") }
        }
        return (body, decoder.isDone ? "done at \(position)" : "open")
    }
    let whole = decode(step: max(1, bytes.count), most: .max)
    for (step, most) in [(1, Int.max), (bytes.count + 1, 7), (3, 2)] {
        let parts = decode(step: step, most: most)
        try claim(parts == whole, "\(whole) at once, \(parts) by \(step) and \(most)")
    }
}

/// A header cut short is waited for or gets the verdict of the whole. An address is read as shown.
@Sendable
func checkProxyHeader(_ bytes: [UInt8]) throws(Contradiction) {
    let verdict = ProxyHeader.parse(bytes[...])
    for length in 0..<min(bytes.count, 128) {
        let early = ProxyHeader.parse(bytes[..<length])
        try claim(early == .needMore || early == verdict, "\(early), then \(verdict)")
    }
    let moved = ([1, 2, 3] + bytes)[3...]
    try claim(ProxyHeader.parse(moved) == verdict, "another verdict within a slice")
    if case .complete(let byteCount, let source) = verdict {
        try claim(byteCount <= bytes.count, "a header of \(byteCount) of \(bytes.count) bytes")
        if let source { try checkAddress(source) }
    }
    let text = String(decoding: bytes, as: UTF8.self)
    if let address = Address(text) { try checkAddress(address) }
    if let range = AddressRange(text), let address = Address(String(text.prefix { $0 != "/" })) {
        try claim(range.contains(address), "\(text) does not contain \(address.text)")
    }
}

private func checkAddress(_ address: Address) throws(Contradiction) {
    try claim(Address(address.text) == address, "\(address.text) is read as another address")
    try claim(
        AddressRange(address.text)?.contains(address) == true,
        "\(address.text) is not in its own range")
}

/// Frames of HTTP/2 at once and byte by byte: one verdict.
@Sendable
func checkFrames(_ bytes: [UInt8]) throws(Contradiction) {
    func look(step: Int) -> (verdict: FrameGuard.Verdict, isInBlock: Bool) {
        var frames = FrameGuard(HTTPServer.Limits())
        var position = 0
        while position < bytes.count {
            let range = position..<min(position + step, bytes.count)
            let verdict = frames.look(at: bytes, range, now: .init(nanoseconds: 1)) { $0 % 4 == 1 }
            guard verdict == .pass else { return (verdict, false) }
            position = range.upperBound
        }
        return (.pass, frames.isInHeaderBlock)
    }
    let whole = look(step: max(1, bytes.count))
    let parts = look(step: 1)
    try claim(whole == parts, "\(whole) at once, \(parts) byte by byte")
}
