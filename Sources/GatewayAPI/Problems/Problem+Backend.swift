import Backends

extension Problem {
    /// The answer to what the backend could not do. Here only, and without `default:`, so that a
    /// new error does not compile until it has an answer.
    init(_ error: BackendError) {
        switch error {
        case .notReady(let reason):
            self.init(.notReady, "The server takes no such request now: \(reason). Try again.")
        case .unknownTopic(let name):
            self = .unknownTopic(name)
        case .unknownPartition(let partition, let count):
            self = .unknownPartition(partition, of: count)
        case .topicExists(let name):
            self.init(
                .topicExists,
                "The topic \(name) is there already with another partition count or "
                    + "configuration. Read it with GET, change it with PATCH.",
                [("topic", .string(name))])
        case .topicNameCollides(let name): self = .topicNameCollides(name)
        case .invalidConfiguration(let field, let reason):
            self.init(
                .invalidConfiguration,
                "The field \(field) has a value that is not taken: \(reason)",
                [("field", .string(field))])
        case .limitReached(let reason):
            self.init(.limitReached, "A limit of this server is reached: \(reason)")
        case .offsetTrimmed(let earliest):
            self.init(
                .offsetTrimmed,
                "The records asked for are no longer kept. The earliest is \(earliest.value).",
                [("earliestOffset", .integer(earliest.value))])
        case .offsetOutOfRange(let latest):
            self.init(
                .offsetOutOfRange,
                "The offset is past the end of the log. The next record gets \(latest.value).",
                [("latestOffset", .integer(latest.value))])
        case .recordTooLarge(let limit):
            self = .recordTooLarge(limit: limit)
        case .recordWithoutKey:
            self.init(.recordWithoutKey, "A record has no key. \(Problem.recordNeedsKey)")
        case .identity(let refusal): self.init(refusal)
        case .endOffsetMismatch(let endOffset): self = .endOffsetMismatch(endOffset)
        case .storageFull:
            self.init(
                .storageFull,
                "The disk is full and takes no more. Reads go on, and writing works again when "
                    + "there is space.")
        case .partitionFailed(let reason):
            self.init(
                .partitionFailed,
                "The partition has failed: until the server is restarted it takes no writes, shows "
                    + "nothing more, and whether a record sent just now is in the log is unknown. "
                    + "\(reason)")
        case .damaged(let offset, let reason):
            self.init(
                .logDamaged,
                "The log is damaged at or behind offset \(offset.value): \(reason). Records "
                    + "before it can be read; see millrace log verify.",
                [("damagedAt", .integer(offset.value))])
        case .storage(let reason):
            self.init(
                .storageError, "An operation on the storage failed; nothing changed: \(reason)")
        }
    }

    static let recordNeedsKey =
        "The topic is compacted: of each key the latest record is kept, so every record needs one. "
        + "Give it a key, or let the topic keep all with cleanupPolicy \"delete\"."

    private static func topicNameCollides(_ name: String) -> Problem {
        Problem(
            .topicExists,
            "There is a topic whose name is that of \(name) but for upper and lower case, or "
                + "`.` and `_`. Choose a name that nobody can take for it.",
            [("topic", .string(name))])
    }

    static func unknownTopic(_ name: String) -> Problem {
        Problem(
            .unknownTopic,
            "There is no topic \(name). Create it with PUT /v1/topics/\(name), or start the "
                + "server with --auto-create-partitions N.",
            [("topic", .string(name))])
    }

    private static func unknownPartition(_ partition: Int, of count: Int) -> Problem {
        Problem(
            .unknownPartition,
            "There is no partition \(partition): the topic has \(count), counted from 0.",
            [("partition", .integer(Int64(partition))), ("partitionCount", .integer(Int64(count)))])
    }

    private static func recordTooLarge(limit: Int) -> Problem {
        Problem(
            .recordTooLarge,
            "A record is larger than the topic's maxRecordBytes, \(limit) bytes for key, value "
                + "and headers. Send it in parts, or raise the topic's maxRecordBytes.",
            [("limit", .integer(Int64(limit)))])
    }
}
