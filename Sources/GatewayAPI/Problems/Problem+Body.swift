import HTTPServer

extension Problem {
    /// The answer where a body could not be read. Of a broken one the client sees the server's own
    /// answer, 400 or 408, whatever this says.
    init(_ error: BodyError) {
        switch error {
        case .tooLarge(let limit):
            self.init(
                .bodyTooLarge,
                "The body is larger than \(limit) bytes. Send less at a time, or stream it as "
                    + "application/x-ndjson.", [("limit", .integer(Int64(limit)))])
        case .broken: self.init(.invalidJSON, "The body ended early or was not HTTP.")
        }
    }
}
