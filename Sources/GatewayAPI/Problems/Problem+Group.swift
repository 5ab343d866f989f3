import Backends

extension Problem {
    /// The answer to what the coordinator could not do. Without `default:`, so that a new error
    /// does not compile until it has an answer.
    init(_ error: GroupError) {
        switch error {
        case .invalidGroupName:
            self.init(
                .invalidName,
                "A group name is 1 to 249 of the characters A-Z a-z 0-9 . _ - and not `.` or `..`.")
        case .unknownGroup(let group):
            self = .unknownGroup(group)
        case .unknownTopic(let name): self.init(BackendError.unknownTopic(name))
        case .unknownPartition(let topic, let partition, let count):
            self.init(BackendError.unknownPartition(partition, partitionCount: count))
            members.append((name: "topic", value: .string(topic)))
        case .offsetOutOfRange(let topic, let partition, let latest):
            self.init(BackendError.offsetOutOfRange(latest: latest))
            members.append((name: "topic", value: .string(topic)))
            members.append((name: "partition", value: .integer(Int64(partition))))
        case .metadataTooLong(let topic, let partition, let limit):
            self.init(
                .invalidField, "`metadata` may have \(limit) bytes of UTF-8.",
                [
                    ("field", .string("metadata")), ("topic", .string(topic)),
                    ("partition", .integer(Int64(partition))),
                ])
        case .tooManyOffsets(let limit):
            self.init(
                .invalidField, "One commit takes \(limit) offsets at most.",
                [("field", .string("offsets"))])
        case .tooManyGroups(let limit):
            self.init(
                .limitReached, "There are \(limit) groups already. Delete one that is not needed.")
        case .backend(let error): self.init(error)
        }
    }

    static func unknownGroup(_ group: String) -> Problem {
        Problem(
            .unknownGroup,
            "There is no group \(group). A group begins with its first commit: "
                + "POST /v1/groups/\(group)/offsets.", [("group", .string(group))])
    }
}
