package import Platform

/// One request and its response, as the handler sees them, whichever HTTP version carries them.
///
/// Used only on the event loop that runs the handler.
package final class Exchange {
    // MARK: - The request

    /// Method, target and header fields: offsets into bytes the exchange owns.
    package var head: RequestHead { fatalError() }

    /// The body's length where the request declared one; nil when it is chunked. 0 without a body.
    package var declaredBodyLength: Int? { fatalError() }

    /// The whole body. Throws `.tooLarge` as soon as it is known to exceed `limit` bytes, before
    /// anything is buffered where the length was declared.
    package func readBody(limit: Int) async throws(BodyError) -> [UInt8] { fatalError() }

    /// The next bytes of the body as they arrive, at most 64 KiB at a time; nil at its end.
    package func nextBodyBytes() async throws(BodyError) -> [UInt8]? { fatalError() }

    // MARK: - The response, whole

    /// Sends status, fields and body in one piece. `body` is left out on HEAD, with its length told.
    package func respond(_ response: Response) { fatalError() }

    // MARK: - The response, as a stream

    /// Sends status and fields; the body follows by `write`, chunked, until `finish`.
    package func startStream(_ response: Response) { fatalError() }

    /// Queues bytes and waits while more than `Limits.streamBufferBytes` are unsent. Throws when the
    /// client is gone or was cut for reading too slowly.
    package func write(_ bytes: [UInt8]) async throws(StreamError) { fatalError() }

    /// Ends the stream regularly. A handler that returns without it cuts the connection, so that
    /// the client sees a broken response and not a short one.
    package func finish() { fatalError() }

    // MARK: - Waiting

    /// Wakes `wakeup` at `deadline` (if any), when the client goes away and when the server begins to
    /// drain, until `disarm` or the end of the exchange. Arming again replaces the deadline.
    package func arm(_ wakeup: Wakeup, until deadline: Instant?) { fatalError() }
    package func disarm() { fatalError() }

    package var clientIsGone: Bool { fatalError() }
    package var serverIsDraining: Bool { fatalError() }
    /// The loop's time, read once per turn.
    package var now: Instant { fatalError() }
    /// The other end of the connection as `address:port`, for the access log.
    package var peer: String { fatalError() }
}

/// A response's head and, unless it is streamed, its body.
package struct Response {
    package var status: Int
    /// Written as it stands, without CR LF: `application/json`.
    package var contentType: StaticString?
    /// Further fields. Values are checked: CR, LF, NUL and other control bytes are refused by a
    /// precondition at the one place that writes them, so callers percent-encode what they reflect.
    package var fields: [(name: StaticString, value: String)] = []
    package var body: [UInt8] = []

    package init(status: Int, contentType: StaticString?, body: [UInt8] = []) {
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
    /// The client closed, stalled past its deadline, or broke the framing: nothing can be answered,
    /// or the server already answers 400 or 408. Return from the handler.
    case broken
}

package enum StreamError: Error {
    /// The client closed, or did not read for `Limits.writeStall`.
    case clientGone
}
