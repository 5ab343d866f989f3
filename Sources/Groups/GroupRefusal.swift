/// Why a request about a group is not carried out. Nothing was changed.
package enum GroupRefusal: Error, Equatable, Sendable {
    /// The group has neither committed offsets nor members.
    case unknownGroup
    /// Never joined, left, or was silent for too long: join again.
    case unknownMember
    /// The member's epoch is another: a change of its assignment came between.
    case fencedMemberEpoch(current: Int64)
    /// Another process has joined under the member's name since: this one is no member any more.
    case fencedInstance
    /// The member does not own a partition it commits for.
    case partitionNotAssigned(topic: String, partition: Int32)
    /// Below 0, or past the end of a partition the member owns.
    case offsetOutOfRange(topic: String, partition: Int32, latest: Int64)
    /// Another topic of that name took the place of the one that was meant, or none did.
    case unknownTopic(String)
    /// Members commit with their epoch; nobody else may while there are any.
    case groupNotEmpty
    case tooManyGroups(limit: Int)
    case tooManyMembers(limit: Int)
    /// Partitions of all the group's topics.
    case tooManyPartitions(limit: Int)
}

/// One offset of a commit.
package struct OffsetEntry: Equatable, Sendable {
    package var topicName: String
    /// The topic that now has this name; nil where none has.
    package var topic: TopicID?
    package var partition: Int32
    /// The first offset not yet processed.
    package var offset: Int64
    package var metadata: String
    /// The partition's log end, where the offset is past it. That is the fault of who owns the
    /// partition; another may mean a topic that was there before.
    package var exceeds: Int64?

    var name: NamedPartition { NamedPartition(topic: topicName, partition: partition) }

    package init(
        topicName: String, topic: TopicID?, partition: Int32, offset: Int64, metadata: String = ""
    ) {
        self.topicName = topicName
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.metadata = metadata
    }
}
