import HTTPServer

extension Problem {
    /// The server holds as much as it may for all its clients together.
    static let outOfMemory = Problem(
        .serverBusy,
        "The server holds as many bytes for its clients as it may. Wait a moment and send it again."
    )

    /// The answer where a body could not be read. Of a broken one the client sees the server's
    /// own, 400, unless the answer has begun.
    init(_ error: BodyError) {
        switch error {
        case .tooLarge(let limit):
            self.init(
                .bodyTooLarge,
                "The body is larger than \(limit) bytes. Send less at a time, or stream it as "
                    + "application/x-ndjson.", [("limit", .integer(Int64(limit)))])
        case .noMemory: self = .outOfMemory
        case .unknownCoding:
            self.init(
                .unsupportedMediaType,
                "Of the content codings only gzip is taken, once. Send the body as gzip, or as it "
                    + "is.", [("field", .string("content-encoding"))])
        case .malformedCoding:
            self.init(
                .invalidContentCoding,
                "The body is not the gzip that Content-Encoding says it is: it is damaged, cut "
                    + "short, or followed by other bytes.",
                [("field", .string("content-encoding"))])
        case .inflatesTooMuch(let ratio):
            self.init(
                .bodyTooLarge,
                "The body opens to more than \(ratio) times its size, and is refused as a bomb. "
                    + "Send it without gzip.")
        case .tooSlow:
            self.init(
                .requestTimeout,
                "The body came too slowly, or paused for too long. Send what follows on a new "
                    + "request.")
        case .broken: self.init(.invalidJSON, "The body ended early or was not HTTP.")
        }
    }
}
