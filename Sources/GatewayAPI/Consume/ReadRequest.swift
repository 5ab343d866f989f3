import Backends
import HTTPServer
import Platform

/// What a consume request asks for, read from its query and header fields.
struct ReadRequest {
    enum Form { case page, lines, events }

    let topic: any Topic
    /// nil: all partitions, also those the topic grows by.
    let partition: Int?
    let form: Form
    let start: ReadStart
    let maxRecords: Int?
    let maxBytes: Int
    let wait: Duration

    init(
        _ head: RequestHead, _ query: Query, topic: any Topic, partition: Int?,
        maxWait: Duration
    ) throws(Problem) {
        self.topic = topic
        self.partition = partition
        form = try Form(accepted: head)
        start = try Self.start(head, query)
        maxRecords = try query.integer("maxRecords", in: 1...Int64.max).map { Int(clamping: $0) }
        let bytes = try query.integer("maxBytes", in: 1...Int64.max)
        maxBytes = min(bytes.map { Int(clamping: $0) } ?? Limits.defaultPageBytes, Limits.pageBytes)
        let waitMs = try query.integer("waitMs")
        wait = min(.milliseconds(waitMs ?? 0), maxWait)
        if form != .page, let unfit = bytes != nil ? "maxBytes" : waitMs != nil ? "waitMs" : nil {
            throw Problem(
                .invalidParameter,
                "`\(unfit)` belongs to pages; a stream never ends by itself. Leave it out, or "
                    + "ask for "
                    + "`Accept: application/json`.",
                [("parameter", .string(unfit))])
        }
    }

    /// `offset`, `cursor` (or `Last-Event-ID`) or `from`: one of them at most. The field wins over
    /// the query: an EventSource repeats its first URL when it resumes.
    private static func start(
        _ head: RequestHead, _ query: Query
    ) throws(Problem) -> ReadStart {
        let offset = try query.integer("offset")
        let cursor = query.text("cursor")
        let from = query.text("from")
        if let value = head.value(of: .lastEventID), !value.isEmpty {
            let text = String(decoding: head.bytes[value], as: UTF8.self)
            return .cursor(try Cursor(parsing: text))
        }
        let given = (offset == nil ? 0 : 1) + (cursor == nil ? 0 : 1) + (from == nil ? 0 : 1)
        guard given <= 1 else {
            throw Problem(
                .invalidParameter,
                "Say where to begin once: `offset`, `cursor` or `from`, not several of them.",
                [("parameter", .string(offset != nil ? "offset" : "cursor"))])
        }
        if let offset { return .offset(Offset(offset)) }
        if let cursor { return .cursor(try Cursor(parsing: cursor)) }
        if let from { return try ReadStart(from: from) }
        return .earliest
    }
}

extension ReadRequest.Form {
    private static let mediaTypes: [(type: String, form: Self)] = [
        ("application/json", .page), ("application/x-ndjson", .lines),
        ("text/event-stream", .events),
    ]

    /// What the client likes best of `types`; the first where it does not say.
    init(
        accepted head: RequestHead, of types: [String] = Self.mediaTypes.map(\.type)
    ) throws(Problem) {
        var best: Int? = 0
        if head.value(of: .accept) != nil {
            best = Accept(head.list(.accept)).best(of: types)
        }
        guard let best, let found = Self.mediaTypes.first(where: { $0.type == types[best] }) else {
            throw Problem(
                .notAcceptable, "Here records come as \(types.joined(separator: " or ")).")
        }
        self = found.form
    }
}
