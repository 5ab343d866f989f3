import Backends
import JSON

extension JoinRequest {
    private static let fields = [
        "topics", "memberId", "sessionTimeoutMs", "rebalanceTimeoutMs", "assignor", "startFrom",
    ]

    /// The body of a join; only `topics` is required.
    init(parsing body: [UInt8]) throws(Problem) {
        var request = JoinRequest(topics: [])
        try parsing {
            var reader = JSONReader(body)
            try reader.readObject("A join", fields: Self.fields) { name, reader in
                try Self.read(name, &reader, into: &request)
            }
            try reader.end()
        }
        guard !request.topics.isEmpty else {
            throw Problem(
                .missingField, "Say which topics the member consumes: `topics`, not empty.",
                [("field", .string("topics"))])
        }
        self = request
    }

    private static func read(
        _ name: String, _ reader: inout JSONReader, into request: inout JoinRequest
    ) throws {
        switch name {
        case "topics":
            request.topics = try reader.namesField(name, limit: GroupLimits.topicsPerMember)
            for topic in request.topics { try checkTopicName(topic) }
        case "memberId":
            let id = try reader.stringField(name)
            try checkName(id, of: "member")
            request.memberID = id
        case "sessionTimeoutMs":
            request.sessionTimeout = try reader.numberField(name, GroupLimits.sessionTimeout)
        case "rebalanceTimeoutMs":
            request.rebalanceTimeout = try reader.numberField(name, GroupLimits.rebalanceTimeout)
        case "assignor":
            guard let assignor = Assignor(name: try reader.stringField(name)) else {
                let names = Assignor.allCases.map { "\"\($0.name)\"" }
                throw Problem.field(name, "must be one of \(names.joined(separator: ", "))")
            }
            request.assignor = assignor
        default:
            switch try reader.stringField(name) {
            case "earliest": request.startFrom = .earliest
            case "latest": request.startFrom = .latest
            default: throw Problem.field(name, "must be \"earliest\" or \"latest\"")
            }
        }
    }
}

/// The body of a poll: `memberEpoch`, and what is optional.
struct PollDocument {
    var memberEpoch: Int64 = 0
    var commit: [OffsetCommit] = []
    var cursor: Cursor?
    /// Milliseconds; clamped by the server's limit.
    var waitMs: Int64 = 0
    var maxRecords: Int?
    var maxBytes: Int?

    private static let fields = [
        "memberEpoch", "commit", "cursor", "waitMs", "maxRecords", "maxBytes",
    ]

    init(parsing body: [UInt8]) throws(Problem) {
        var document = Self()
        var epoch: Int64?
        try parsing {
            var reader = JSONReader(body)
            try reader.readObject("A poll", fields: Self.fields) { name, reader in
                switch name {
                case "memberEpoch": epoch = try reader.numberField(name, 0...Int64.max)
                case "commit":
                    document.commit = try Cursor(parsing: reader.stringField(name)).commits()
                case "cursor": document.cursor = try Cursor(parsing: reader.stringField(name))
                case "waitMs": document.waitMs = try reader.numberField(name, 0...Int64.max)
                case "maxRecords":
                    document.maxRecords = Int(
                        clamping: try reader.numberField(name, 1...Int64.max))
                default:
                    document.maxBytes = Int(clamping: try reader.numberField(name, 1...Int64.max))
                }
            }
            try reader.end()
        }
        document.memberEpoch = try required(epoch, "memberEpoch")
        if let cursor = document.cursor { _ = try cursor.commits() }
        self = document
    }

    private init() {}
}

/// The body of a heartbeat: `{"memberEpoch":5}`.
func parseHeartbeat(_ body: [UInt8]) throws(Problem) -> Int64 {
    var epoch: Int64?
    try parsing {
        var reader = JSONReader(body)
        try reader.readObject("A heartbeat", fields: ["memberEpoch"]) { name, reader in
            epoch = try reader.numberField(name, 0...Int64.max)
        }
        try reader.end()
    }
    return try required(epoch, "memberEpoch")
}

private func required(_ value: Int64?, _ field: String) throws(Problem) -> Int64 {
    guard let value else {
        throw Problem(
            .missingField, "`\(field)` is missing: the epoch that the last answer gave the member.",
            [("field", .string(field))])
    }
    return value
}

extension Cursor {
    /// What it means as a commit. Its entries must name their topics.
    func commits() throws(Problem) -> [OffsetCommit] {
        var commits: [OffsetCommit] = []
        let tags = tagsOfTopics
        for entry in entries {
            guard let topic = entry.topic else {
                throw Problem(
                    .invalidCursor,
                    "A member may have several topics, so its cursors name them: "
                        + "`topic/partition:nextOffset`, as the answer to a poll gives them.")
            }
            commits.append(
                OffsetCommit(
                    topic: topic, partition: entry.partition, offset: entry.next,
                    topicTag: tags[topic]))
        }
        return commits
    }
}

extension JSONReader {
    /// An array of at most `limit` strings.
    mutating func namesField(_ name: String, limit: Int) throws -> [String] {
        guard try peek() == .array else { throw Problem.field(name, "must be an array") }
        var names: [String] = []
        try beginArray()
        while try nextElement() {
            guard names.count < limit else {
                throw Problem.field(name, "may have \(limit) names at most")
            }
            names.append(try stringField(name))
        }
        return names
    }
}

extension JSONWriter {
    /// `"memberEpoch":5,"assignment":[{"topic":"orders","partitions":[0,1]}]`
    mutating func assignment(of member: MemberView) {
        name("memberEpoch")
        integer(member.epoch)
        name("assignment")
        places(member.assignment.map { (topic: $0.topic, partition: $0.partition) })
    }

    /// Sorted by topic.
    mutating func places(_ places: [(topic: String, partition: Int)]) {
        beginArray()
        for (index, place) in places.enumerated() {
            if index == 0 || places[index - 1].topic != place.topic {
                beginObject()
                name("topic")
                string(place.topic)
                name("partitions")
                beginArray()
            }
            integer(Int64(place.partition))
            if index + 1 == places.count || places[index + 1].topic != place.topic {
                endArray()
                endObject()
            }
        }
        endArray()
    }
}
