package import Platform

/// One request and its response, as the handler sees them, whichever HTTP version carries them.
///
/// Used only on the event loop that runs the handler.
package final class Exchange {
    private unowned let carrier: any ExchangeCarrier

    /// Method, target and header fields: offsets into bytes the exchange owns.
    package internal(set) var head = RequestHead()
    /// The status that was sent; 0 before.
    package internal(set) var responseStatus = 0
    /// Bytes of the body that came, and of the answer with its head, so far.
    package internal(set) var receivedBodyBytes = 0
    package internal(set) var sentBytes = 0
    /// When the head was complete.
    package internal(set) var started = Instant(nanoseconds: 0)

    /// Where the request's body came in a coding.
    private var codedBody: CodedBody?
    private var isBodyBegun = false
    /// Of the server's budget, until the exchange ends.
    private var reservedBytes = 0
    private var keptBytes = 0
    /// Packs the stream that is the answer.
    private var deflater: Deflater?
    /// What the handler keeps with the exchange until its end: who asks, say.
    package var owner: AnyObject?
    /// Fields the handler wants on whatever answer follows, names in lower case.
    package var addedFields: [(name: String, value: String)] = []

    /// Whether a log of the few requests that matter later names this one.
    package var isAudited = false

    init(_ carrier: any ExchangeCarrier) { self.carrier = carrier }

    // MARK: - The request

    /// The body's length where the request declared one; nil when it is chunked. 0 without a body.
    package var declaredBodyLength: Int? { carrier.declaredBodyLength }

    /// The whole body. Throws `.tooLarge` as soon as it is known to exceed `limit` bytes, before
    /// anything is buffered where the length was declared.
    package func readBody(limit: Int) async throws(BodyError) -> [UInt8] {
        if let length = declaredBodyLength, length > limit { throw .tooLarge(limit: limit) }
        guard var body = try await nextBodyBytes() else { return [] }
        while let more = try await nextBodyBytes() {
            guard body.count + more.count <= limit else { throw .tooLarge(limit: limit) }
            try reserve(body.count + more.count)
            body.append(contentsOf: more)
        }
        guard body.count <= limit else { throw .tooLarge(limit: limit) }
        return body
    }

    /// Has the server's budget bear `byteCount` bytes in all for this exchange, before they are
    /// allocated. Small bodies, as nearly all are, do not count; nor does what is only announced,
    /// or a few clients that send nothing would have it all.
    package func reserve(_ byteCount: Int) throws(BodyError) {
        let uncounted = carrier.server.configuration.limits.uncountedBodyBytes
        guard byteCount > max(uncounted, reservedBytes) else { return }
        guard carrier.server.budget.reserve(byteCount - reservedBytes) else { throw .noMemory }
        reservedBytes = byteCount
    }

    /// What the server holds for its clients is as much as it may: what can wait should wait.
    package var serverIsShortOfMemory: Bool { carrier.server.budget.isFull }

    /// What of `most` bytes an answer may have that could as well be smaller: few where the server
    /// holds as much as it may, or the connection other answers that nobody takes, or that wait for
    /// the disk. `releaseAnswer` must follow when the answer is made; its own bytes count until it
    /// is sent. Nothing is held over a wait for records: long-polls that wait together wake
    /// together, and each asks then.
    package func reserveAnswer(atMost most: Int) -> Int {
        let least = min(most, carrier.server.configuration.limits.shortAnswerBytes)
        if most <= least { return most }
        guard !carrier.isFull, carrier.server.budget.reserve(most) else { return least }
        carrier.countAnswer(most)
        return most
    }

    /// `byteCount` is what `reserveAnswer` gave.
    package func releaseAnswer(_ byteCount: Int) {
        guard byteCount > carrier.server.configuration.limits.shortAnswerBytes else { return }
        carrier.server.budget.add(-byteCount)
        carrier.countAnswer(-byteCount)
    }

    /// Has the server's budget bear `byteCount` bytes that a stream keeps while its client takes
    /// what was sent, in place of what it kept before; false, and nothing kept, where there is no
    /// room.
    package func keep(_ byteCount: Int) -> Bool {
        if byteCount == keptBytes { return true }
        carrier.server.budget.letGo(kept: keptBytes)
        keptBytes = carrier.server.budget.keep(byteCount) ? byteCount : 0
        return keptBytes == byteCount
    }

    /// The next bytes of the body as they arrive, at most 64 KiB at a time and without its content
    /// coding; nil at its end.
    package func nextBodyBytes() async throws(BodyError) -> [UInt8]? {
        if !isBodyBegun { try beginBody() }
        return codedBody == nil ? try await carrier.nextBodyBytes() : try await nextOpenedBytes()
    }

    /// Not inlined, for what it copies would stay in the frame of each that waits for a body.
    @inline(never)
    private func beginBody() throws(BodyError) {
        isBodyBegun = true
        codedBody = try CodedBody(head, carrier.server.configuration.limits)
    }

    private func nextOpenedBytes() async throws(BodyError) -> [UInt8]? {
        guard var body = codedBody else { return nil }
        defer { codedBody = body }
        return try await body.next { [carrier] () async throws(BodyError) in
            try await carrier.nextBodyBytes()
        }
    }

    // MARK: - The response, whole

    /// Sends status, fields and body in one piece. `body` is left out on HEAD, with its length
    /// told. The first answer counts: one that comes behind it is a bug of the handler.
    package func respond(_ response: Response) {
        var response = withAddedFields(response)
        response.encode(for: head, carrier.server.configuration.limits)
        carrier.respond(response)
    }

    private func withAddedFields(_ response: Response) -> Response {
        if addedFields.isEmpty { return response }
        var response = response
        response.fields += addedFields
        return response
    }

    // MARK: - The response, as a stream

    /// Sends status and fields; the body follows by `write`, chunked, until `finish`.
    package func startStream(_ response: Response) {
        var response = withAddedFields(response)
        deflater = response.encodeStream(for: head, carrier.server.configuration.limits)
        carrier.startStream(response)
    }

    /// Queues bytes and waits while more than `Limits.streamBufferBytes` are unsent. Throws when
    /// the client is gone or was cut for reading too slowly.
    package func write(_ bytes: [UInt8]) async throws(StreamError) {
        guard let deflater, !bytes.isEmpty else { return try await carrier.write(bytes) }
        // Each write is a burst that its reader must be able to open.
        try await carrier.write(deflater.deflate(bytes, isLast: false))
    }

    /// Ends the stream regularly. A handler that returns without it cuts the connection, so that
    /// the client sees a broken response and not a short one.
    package func finish() {
        carrier.finish(deflater?.deflate([], isLast: true) ?? [])
    }

    /// Another exchange begins on its connection.
    func begin() {
        receivedBodyBytes = 0
        sentBytes = 0
        isBodyBegun = false
        isAudited = false
    }

    /// Lets go of what it holds: its connection may stay idle for long.
    func end() {
        owner = nil
        if !addedFields.isEmpty { addedFields = [] }
        codedBody = nil
        deflater = nil
        if keptBytes > 0 { _ = keep(0) }
        guard reservedBytes > 0 else { return }
        carrier.server.budget.add(-reservedBytes)
        reservedBytes = 0
    }

    // MARK: - Waiting

    /// Wakes `wakeup` at `deadline` (if any), when the client goes away and when the server begins
    /// to drain, until `disarm` or the end of the exchange. Arming again replaces the deadline.
    package func arm(_ wakeup: Wakeup, until deadline: Instant?) {
        carrier.arm(wakeup, until: deadline)
    }

    package func disarm() { carrier.disarm() }

    /// The client closed its end, or the connection broke. A client that only ended its sending
    /// side cannot be told apart: answers are still tried, but nothing waits for it.
    package var clientIsGone: Bool { carrier.clientIsGone }
    /// Also where only this exchange is to end soon (`ender`).
    package var serverIsDraining: Bool { carrier.server.isDraining || carrier.mustEndSoon }

    /// Ends this exchange from any thread, as a drain of the server would: long-polls return,
    /// streams end with their cursor. What still goes on `Limits.lingering` later is cut, as are
    /// uploads and readers that do not read. Does nothing once the exchange is over.
    package func ender() -> @Sendable () -> Void { carrier.ender() }
    /// Lets the loop's other requests come first: for a handler in the midst of a long computation.
    package func nextTurn() async { await carrier.loop.nextTurn() }
    /// The loop's time, read once per turn.
    package var now: Instant { carrier.loop.now }
    /// The other end of the connection as `address:port`, for the access log.
    package var peer: String { carrier.peer }
    /// Who asks, as the listed balancers in front say (`TrustedProxies`), without a port; nil where
    /// none are listed.
    package var proxiedClient: String? {
        carrier.server.configuration.proxies.ranges.isEmpty
            ? nil : carrier.clientAddress(head).text
    }
    /// Who asks, with balancers or without, as far as it tells clients apart: of IPv6 the network.
    package var clientNetwork: String { carrier.clientAddress(head).client.text }
}

/// A response's head and, unless it is streamed, its body.
package struct Response: Sendable {
    package var status: Int
    /// Written as it stands: `application/json`.
    package var contentType: String?
    /// Further fields, names in lower case. A value with CR, LF, NUL or another control byte never
    /// reaches the wire: each such byte is written as `?`.
    package var fields: [(name: String, value: String)] = []
    package var body: [UInt8] = []

    package init(status: Int, contentType: String?, body: [UInt8] = []) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }
}

/// Why a body could not be read. The server answers itself where the protocol is broken; these
/// reach the handler so that it can stop.
package enum BodyError: Error {
    /// More than the limit in bytes that was given to `readBody`.
    case tooLarge(limit: Int)
    /// The server holds as much as it may for all its clients together.
    case noMemory
    /// Content-Encoding names another coding than gzip, or several.
    case unknownCoding
    /// The body is not the gzip it says it is, is cut short, or something follows it.
    case malformedCoding
    /// The body opens to more than `ratio` times its size: it is a bomb.
    case inflatesTooMuch(ratio: Int)
    /// It came at less than the rate a client must keep. The handler answers with a 408, behind
    /// which the connection closes.
    case tooSlow
    /// The client closed or broke the framing: whatever the handler responds, the server sends its
    /// own 400.
    case broken
}

extension BodyError {
    init(_ failure: ProtocolProblem) { self = failure == .requestTimeout ? .tooSlow : .broken }
}

package enum StreamError: Error {
    /// The client closed, or did not read for `Limits.writeStall`.
    case clientGone
}
