package import Groups

/// The bounds of groups, for those who answer requests about them.
package typealias GroupLimits = Groups.Limits
package typealias GroupDescription = Groups.GroupDescription
package typealias Assignor = Groups.Assignor
package typealias StartFrom = Groups.StartFrom

/// What can be answered to a request about a group, beside its success.
package enum GroupError: Error, Equatable {
    /// Not 1 to 249 of `[A-Za-z0-9._-]`, or `.` or `..`.
    case invalidGroupName(String)
    case invalidMemberName(String)
    /// The group has neither committed offsets nor members.
    case unknownGroup(String)
    /// Never joined, left, or was silent for too long.
    case unknownMember(String)
    /// The member's epoch is another; with what it has now.
    case fencedMemberEpoch(MemberView)
    /// Another process has joined under the member's name since.
    case fencedInstance(String)
    /// A newer poll of the same member took this one's place.
    case supersededPoll(String)
    case partitionNotAssigned(topic: String, partition: Int)
    /// Members commit with their epoch; nobody else may while there are any.
    case groupNotEmpty(String)
    case unknownTopic(String)
    case unknownPartition(topic: String, Int, partitionCount: Int)
    /// Negative, or past the log end.
    case offsetOutOfRange(topic: String, partition: Int, latest: Offset)
    /// In bytes of UTF-8.
    case metadataTooLong(topic: String, partition: Int, limit: Int)
    /// Offsets in one commit.
    case tooManyOffsets(limit: Int)
    case tooManyGroups(limit: Int)
    case tooManyMembers(limit: Int)
    /// Of all the topics of one group.
    case tooManyPartitions(limit: Int)
    /// The state log: loading (`.notReady`), full, failed.
    case backend(BackendError)
}
