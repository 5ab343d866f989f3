/// Every limit of the server, named, with its default. Times are counted on the monotonic clock.
package struct Limits: Sendable {
    /// Connections open at a time, over all event loops; more are closed at once.
    package var connections = 20_000
    /// Taken in between two looks at those that are there.
    package var acceptedTogether = 2
    /// Of one address; half of all, and 1,000 at least, unless told. A balancer is one address.
    package var connectionsPerAddress: Int?
    /// Bytes of bodies and unsent answers of all connections together, beyond which what needs more
    /// is answered 503.
    package var bufferedBytes = 1 << 30
    /// Of a request's body, and of all bodies of a connection that wait for their handlers, what is
    /// not counted: nearly all are smaller.
    package var uncountedBodyBytes = 64 << 10
    /// Bytes of a request line, and of the target in it (RFC 9112 §3 recommends 8,000 at least).
    package var requestLineBytes = 8 << 10
    /// Bytes of a head in all, request line and fields.
    package var headBytes = 32 << 10
    /// Header fields of a request, and trailer fields of a chunked body.
    package var fieldCount = 100
    /// Bytes of chunk extensions in one body; nobody uses them for good.
    package var chunkExtensionBytes = 1 << 10
    /// The largest single chunk.
    package var chunkBytes = 1 << 30
    /// From the first byte of a head to its last, however slowly they come.
    package var headDeadline = Duration.seconds(10)
    /// A body that a handler waits for must bring `bodyRate` bytes a second, looked at this often.
    package var bodyGrace = Duration.seconds(5)
    package var bodyRate = 240
    /// Of a body nobody read, what is read and thrown away to keep the connection.
    package var discardedBodyBytes = 64 << 10
    /// Between requests.
    package var idle = Duration.seconds(60)
    /// For a client to take any byte that waits for it.
    package var writeStall = Duration.seconds(30)
    /// For the client's system to acknowledge what was sent to it, or to say that it is there: a
    /// host that lost its power or its way sends no end. Well above `writeStall`, for the kernel
    /// counts the time of a reader that takes nothing as well, and from earlier on; and where it
    /// breaks the connection, it tells that reader nothing.
    package var silence = Duration.seconds(45)
    /// For a client to see the answer to what it was still sending (RFC 9112 §9.6).
    package var lingering = Duration.seconds(2)
    /// Unsent bytes of a stream beyond which its handler waits.
    package var streamBufferBytes = 256 << 10
    /// Unsent bytes of an answer beyond which the next pipelined request waits.
    package var pipelinedBytes = 2 << 10
    /// Bytes of a connection's pipelined answers after which others come first.
    package var pipelinedTurnBytes = 2 << 10
    /// What is read at a time where a head is expected: the requests behind it wait in the kernel.
    package var headReadBytes = 2 << 10
    /// Bytes that a connection's socket holds and its client has no room for.
    package var kernelBytes = 32 << 10

    /// Bytes of an answer that can be smaller, where memory is short.
    package var shortAnswerBytes = 16 << 10

    // Content codings.

    /// Bytes of an answer from which on it is packed, and up to which an event loop is made to wait
    /// for that, about 10 ms at the most.
    package var gzipLeastBytes = 1 << 10
    package var gzipMostBytes = 2 << 20
    /// A request's body may open to so many bytes, and beyond them to so many times its size.
    package var inflatedFreeBytes = 1 << 20
    package var inflationRatio = 200

    // HTTP/2 (RELIABILITY.md d-2).

    /// Streams of a connection at a time.
    package var concurrentStreams = 100
    /// How long a request waits while its connection is full of answers of which the client takes
    /// less than `shortAnswerBytes`.
    package var fullConnection = Duration.seconds(5)
    /// Bytes of request bodies that may come before a handler takes any: of a stream, and of all
    /// streams of a connection.
    package var streamWindowBytes = 256 << 10
    package var connectionWindowBytes = 1 << 20
    /// Bytes of answers that wait for their client, beyond which a connection begins no request and
    /// its streams wait for each byte.
    package var connectionBufferBytes = 1 << 20
    /// Unsent bytes of frames beyond which nothing more is read.
    package var unsentFrameBytes = 64 << 10
    /// Frames that bring nothing: PING, SETTINGS, PRIORITY, empty DATA, WINDOW_UPDATE without need.
    package var controlFrames = Rate(burst: 100, perSecond: 10)
    /// Streams that a client opens and resets.
    package var resets = Rate(burst: 100, perSecond: 10)
    /// Streams that are reset for what the client did.
    package var ownResets = Rate(burst: 20, perSecond: 1)
    /// Between the first word of a drain and the GOAWAY that refuses new streams.
    package var goAwayNotice = Duration.seconds(1)

    package init() {}
}
