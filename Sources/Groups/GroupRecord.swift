/// One durable fact about a group. Appended to the state log, then applied; replayed at start. The
/// last record of a key holds, one without a value ends it.
package enum GroupRecord: Equatable, Sendable {
    case offsetCommitted(OffsetKey, CommittedOffset)
    case offsetRemoved(OffsetKey)
    case group(GroupID, GroupMetadata?)
    case member(MemberKey, MemberMetadata?)
    /// What the member is meant to have.
    case target(MemberKey, Set<TopicPartition>?)
    /// What the member has.
    case assignment(MemberKey, MemberAssignment?)
    /// Groups that begin from here on give epochs above this one.
    case epochFloor(Int64)
}

/// Whose offset it is.
package struct OffsetKey: Hashable, Sendable {
    package var group: GroupID
    package var topic: TopicID
    package var partition: Int32

    package init(group: GroupID, topic: TopicID, partition: Int32) {
        self.group = group
        self.topic = topic
        self.partition = partition
    }
}

/// What was committed for one partition.
package struct CommittedOffset: Equatable, Sendable {
    /// The first offset not yet processed.
    package var offset: Int64
    /// Milliseconds since 1970.
    package var committedAt: Int64
    /// The topic's name, for people; the topic is known by its ID.
    package var topicName: String
    /// What the client keeps with it, at most `Limits.metadataBytes`.
    package var metadata: String

    package init(offset: Int64, committedAt: Int64, topicName: String, metadata: String) {
        self.offset = offset
        self.committedAt = committedAt
        self.topicName = topicName
        self.metadata = metadata
    }
}
