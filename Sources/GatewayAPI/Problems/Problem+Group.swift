import Backends
import JSON

extension Problem {
    /// The answer to what the coordinator could not do. Without `default:`, so that a new error
    /// does not compile until it has an answer.
    init(_ error: GroupError) {
        switch error {
        case .invalidGroupName:
            self.init(
                .invalidName,
                "A group name is 1 to 249 of the characters A-Z a-z 0-9 . _ - and not `.` or `..`.")
        case .invalidMemberName:
            self.init(
                .invalidName,
                "A member id is 1 to 249 of the characters A-Z a-z 0-9 . _ - and not `.` or `..`.")
        case .unknownMember(let member): self = .unknownMember(member)
        case .fencedMemberEpoch(let view):
            self.init(fenced: view)
        case .fencedInstance(let member): self = .fencedInstance(member)
        case .supersededPoll(let member): self = .supersededPoll(member)
        case .partitionNotAssigned(let topic, let partition):
            self = .partitionNotAssigned(topic, partition)
        case .groupNotEmpty(let group): self = .groupNotEmpty(group)
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
        case .tooManyMembers(let limit):
            self.init(.limitReached, "The group has \(limit) members already.")
        case .tooManyPartitions(let limit):
            self.init(
                .limitReached,
                "The topics of a group may have \(limit) partitions in all. Name fewer topics.")
        case .backend(let error): self.init(error)
        }
    }

    private static func unknownMember(_ member: String) -> Problem {
        Problem(
            .unknownMember,
            "The group has no member \(member): it never joined, left, or was not heard of within "
                + "its timeouts. Join again: POST /v1/groups/{group}/members.",
            [("memberId", .string(member))])
    }

    /// Without the epoch: with that the two would go on beside each other.
    private static func fencedInstance(_ member: String) -> Problem {
        Problem(
            .fencedInstanceID,
            "Another process has joined as \(member) since and has its partitions; nothing was "
                + "stored. Stop this one, or give each process a `memberId` of its own. Joining "
                + "again would fence the other.", [("memberId", .string(member))])
    }

    private static func supersededPoll(_ member: String) -> Problem {
        Problem(
            .supersededPoll,
            "A newer poll of the member \(member) took this one's place. One loop polls for a "
                + "member; nothing is lost.", [("memberId", .string(member))])
    }

    private static func partitionNotAssigned(_ topic: String, _ partition: Int) -> Problem {
        Problem(
            .partitionNotAssigned,
            "The member does not have partition \(partition) of \(topic): nothing was stored. "
                + "Commit only what the last answer assigned.",
            [("topic", .string(topic)), ("partition", .integer(Int64(partition)))])
    }

    private static func groupNotEmpty(_ group: String) -> Problem {
        Problem(
            .groupNotEmpty,
            "The group \(group) has members: they commit with `memberId` and `memberEpoch`. Stop "
                + "them before its offsets are set for them, or it is deleted.",
            [("group", .string(group))])
    }

    /// Tells the member all that its lost answer did.
    private init(fenced view: MemberView) {
        var writer = JSONWriter()
        writer.places(view.assignment.map { (topic: $0.topic, partition: $0.partition) })
        self.init(
            .fencedMemberEpoch,
            "The member's epoch is \(view.epoch) by now and nothing was stored. Go on with that "
                + "epoch and the `assignment` here; what it lost may be committed once more with "
                + "the next poll.",
            [
                ("memberId", .string(view.memberID)), ("memberEpoch", .integer(view.epoch)),
                ("assignment", .raw(writer.bytes)),
            ])
    }

    static func unknownGroup(_ group: String) -> Problem {
        Problem(
            .unknownGroup,
            "There is no group \(group). A group begins with its first member, POST "
                + "/v1/groups/\(group)/members, or commit, POST /v1/groups/\(group)/offsets.",
            [("group", .string(group))])
    }
}
