/// Where a member begins in a partition the group has committed nothing for. `latest` is for those
/// that were there when the group began to read their topic.
package enum StartFrom: UInt8, Sendable {
    case earliest = 0
    case latest = 1
}

/// What a member said when it joined.
package struct MemberMetadata: Equatable, Sendable {
    /// Names, sorted, none twice. A topic need not be there yet.
    package var topics: [String]
    /// Milliseconds.
    package var sessionTimeout: Int64
    /// Milliseconds.
    package var rebalanceTimeout: Int64
    /// nil: whatever the others want.
    package var assignor: Assignor?
    package var startFrom: StartFrom
    /// Milliseconds since 1970, for people.
    package var joinedAt: Int64
    /// The epoch its last join gave it: who speaks with an older one was another process, or is
    /// this one before it joined again.
    package internal(set) var joinEpoch: Int64 = 0

    package init(
        topics: [String], sessionTimeout: Int64 = Limits.defaultSessionTimeout,
        rebalanceTimeout: Int64 = Limits.defaultRebalanceTimeout, assignor: Assignor? = nil,
        startFrom: StartFrom = .earliest, joinedAt: Int64 = 0
    ) {
        self.topics = Array(Set(topics)).sorted()
        self.sessionTimeout = sessionTimeout
        self.rebalanceTimeout = rebalanceTimeout
        self.assignor = assignor
        self.startFrom = startFrom
        self.joinedAt = joinedAt
    }
}

/// What a member has been given, as of its epoch.
///
/// An epoch is given out with each change, and the member shows by its next poll with that epoch
/// that it knows: only then is what it lost free for others.
package struct MemberAssignment: Equatable, Sendable {
    /// Unique in the group, and growing.
    package var epoch: Int64
    package var owned: Set<TopicPartition>
    /// Taken away with this epoch, and still the member's until it polls: its last commit.
    package var revoking: Set<TopicPartition> = []
    /// Given up by the poll that came last, with the offset that was committed then, so that the
    /// same poll sent once more finds its commit stored and not refused.
    package var released: [TopicPartition: Int64] = [:]
    /// Milliseconds since 1970, for people.
    package var since: Int64
    /// Why the assignment is as it is, in words.
    package var reason: String

    /// All that nobody else may be given.
    package var held: Set<TopicPartition> { owned.union(revoking) }
}

/// A member and its group.
package struct MemberKey: Hashable, Sendable {
    package var group: GroupID
    package var member: MemberID

    package init(_ group: GroupID, _ member: MemberID) {
        self.group = group
        self.member = member
    }
}
