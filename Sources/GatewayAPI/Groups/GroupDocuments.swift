import Backends
import JSON

/// The body of a commit: `offsets`, or a `cursor` (with `topic` where the cursor names none); and
/// whose it is, where the group has members.
struct CommitDocument {
    var offsets: [OffsetCommit] = []
    var cursor: Cursor?
    var topic: String?
    var memberID: String?
    var memberEpoch: Int64?

    init(parsing body: [UInt8]) throws(Problem) {
        var document = Self()
        try parsing {
            var reader = JSONReader(body)
            let fields = ["offsets", "cursor", "topic", "memberId", "memberEpoch"]
            try reader.readObject("A commit", fields: fields) { name, reader in
                switch name {
                case "offsets": document.offsets = try Self.readOffsets(&reader)
                case "cursor": document.cursor = try Cursor(parsing: reader.stringField(name))
                case "topic": document.topic = try reader.stringField(name)
                case "memberId": document.memberID = try reader.stringField(name)
                default: document.memberEpoch = try reader.numberField(name, 0...Int64.max)
                }
            }
            try reader.end()
        }
        guard document.offsets.isEmpty != (document.cursor == nil) else {
            throw Problem(
                .missingField, "Say what to commit: either `offsets`, not empty, or `cursor`.",
                [("field", .string("offsets"))])
        }
        guard (document.memberID == nil) == (document.memberEpoch == nil) else {
            throw Problem(
                .missingField,
                "A member commits with `memberId` and `memberEpoch`, both or none of them.",
                [("field", .string(document.memberID == nil ? "memberId" : "memberEpoch"))])
        }
        self = document
    }

    private init() {}

    /// `[{"topic","partition","offset","metadata"?}]`
    static func readOffsets(_ reader: inout JSONReader) throws -> [OffsetCommit] {
        var offsets: [OffsetCommit] = []
        guard try reader.peek() == .array else {
            throw Problem.field("offsets", "must be an array")
        }
        try reader.beginArray()
        while try reader.nextElement() {
            guard offsets.count < Limits.cursorEntries else {
                throw Problem.field("offsets", "may have \(Limits.cursorEntries) entries at most")
            }
            offsets.append(try readOffset(&reader))
        }
        return offsets
    }

    private static func readOffset(_ reader: inout JSONReader) throws -> OffsetCommit {
        var topic: String?
        var partition: Int64?
        var offset: Int64?
        var metadata = ""
        let fields = ["topic", "partition", "offset", "metadata"]
        guard try reader.peek() == .object else {
            throw Problem.field("offsets", "must be an array of objects")
        }
        try reader.readObject("An offset", fields: fields) { name, reader in
            switch name {
            case "topic": topic = try reader.stringField(name)
            case "partition": partition = try reader.numberField(name, 0...Int64(Int32.max))
            case "offset": offset = try reader.numberField(name, 0...Int64.max)
            default: metadata = try reader.stringField(name)
            }
        }
        guard let topic, let partition, let offset else {
            let missing = topic == nil ? "topic" : partition == nil ? "partition" : "offset"
            throw Problem(
                .missingField, "Each of the offsets needs `\(missing)`.",
                [("field", .string(missing))])
        }
        return OffsetCommit(
            topic: topic, partition: Int(partition), offset: Offset(offset), metadata: metadata)
    }
}

/// The body of a reset: `{"to":"earliest"|"latest"|<ms>,"topics":[…]}`, or given `offsets`.
struct ResetDocument {
    enum Target {
        case earliest, latest
        /// Milliseconds since 1970.
        case timestamp(Int64)
        case offsets([OffsetCommit])
    }

    var target: Target
    /// nil: the topics the group has committed for.
    var topics: [String]?

    init(parsing body: [UInt8]) throws(Problem) {
        var target: Target?
        var offsets: [OffsetCommit]?
        var topics: [String]?
        try parsing {
            var reader = JSONReader(body)
            try reader.readObject("A reset", fields: ["to", "topics", "offsets"]) { name, reader in
                switch name {
                case "to": target = try Self.readTarget(&reader)
                case "topics":
                    topics = try reader.namesField(name, limit: Limits.cursorEntries)
                default: offsets = try CommitDocument.readOffsets(&reader)
                }
            }
            try reader.end()
        }
        if let offsets { target = target == nil && topics == nil ? .offsets(offsets) : nil }
        guard let target else {
            throw Problem(
                .missingField,
                "Say where to: `to` with `earliest`, `latest` or a timestamp in milliseconds (and "
                    + "`topics`, if not all), or else `offsets`.", [("field", .string("to"))])
        }
        self.target = target
        self.topics = topics
    }

    private static func readTarget(_ reader: inout JSONReader) throws -> Target {
        if try reader.peek() == .number {
            return .timestamp(try reader.numberField("to", 0...Int64.max))
        }
        switch try reader.stringField("to") {
        case "earliest": return .earliest
        case "latest": return .latest
        default:
            throw Problem.field(
                "to", "must be \"earliest\", \"latest\" or a timestamp in milliseconds since 1970")
        }
    }
}
