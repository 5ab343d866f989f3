/// A topic as the group last saw it.
package struct GroupTopic: Equatable, Sendable {
    package var name: String
    /// 0 where the topic is gone and a member has not given its partitions back yet, or where
    /// nobody reads it now and offsets are committed for it.
    package var partitionCount: Int32
    /// What it had when the group began to read it. What it grows by begins at its start, whatever
    /// a member's `startFrom`: what was written before the first poll would be skipped.
    package var firstPartitionCount: Int32
}

/// What is written down of a group as a whole, anew with each rebalance.
package struct GroupMetadata: Equatable, Sendable {
    /// At least the highest epoch that was given to a member who is gone.
    package var epoch: Int64
    package var topics: [TopicID: GroupTopic] = [:]
    /// When the target assignment was last computed, and why. Milliseconds since 1970.
    package var changedAt: Int64 = 0
    package var reason = ""
    /// Milliseconds the group has been without a member, as far as they were noted.
    package var emptyAge: Int64 = 0
}

/// One group's durable state. Only `GroupState.apply` changes it.
package struct Group: Equatable, Sendable {
    package internal(set) var metadata: GroupMetadata?
    package internal(set) var members: [MemberID: MemberMetadata] = [:]
    /// What each member is meant to have.
    package internal(set) var targets: [MemberID: Set<TopicPartition>] = [:]
    /// What each member has.
    package internal(set) var assignments: [MemberID: MemberAssignment] = [:]

    // Derived from the above.
    /// Who holds a partition, or is still to give it back.
    package private(set) var owners: [TopicPartition: MemberID] = [:]
    /// Who is meant to have it.
    private(set) var targetOwners: [TopicPartition: MemberID] = [:]
    /// The highest epoch given out.
    package private(set) var epoch: Int64 = 0

    var isVacant: Bool {
        metadata == nil && members.isEmpty && targets.isEmpty && assignments.isEmpty
    }

    init() {}

    /// Whether all have what they are meant to have.
    package var isStable: Bool { members.keys.allSatisfy { !mustPoll($0) } }

    /// Whether the member's next poll would bring it another assignment.
    package func hasNews(_ member: MemberID) -> Bool {
        guard let assignment = assignments[member] else { return false }
        let target = targets[member] ?? []
        guard target != assignment.owned else { return false }
        return !assignment.owned.isSubset(of: target) || !grants(member, target, assignment).isEmpty
    }

    /// Whether partitions wait for the member's next poll: to be given back, or to be taken up.
    package func mustPoll(_ member: MemberID) -> Bool { owesRevocation(member) || hasNews(member) }

    private func owesRevocation(_ member: MemberID) -> Bool {
        guard let assignment = assignments[member] else { return false }
        return !assignment.revoking.isEmpty
            || !assignment.owned.isSubset(of: targets[member] ?? [])
    }

    /// What of its target the member may be given at once: nobody else holds it.
    func grants(
        _ member: MemberID, _ target: Set<TopicPartition>, _ assignment: MemberAssignment?
    ) -> Set<TopicPartition> {
        target.filter { partition in
            if assignment?.owned.contains(partition) == true { return false }
            let owner = owners[partition]
            return owner == nil || owner == member
        }
    }

    /// The same, where it is asked to give some back: where a topic took the place of another of
    /// its name, a partition of the new one waits until the old one's is let go, for a commit names
    /// its topic only by name.
    func grants(
        _ member: MemberID, _ target: Set<TopicPartition>, _ assignment: MemberAssignment,
        giving taken: Set<TopicPartition>
    ) -> Set<TopicPartition> {
        let grants = grants(member, target, assignment)
        let gone = names(taken.filter { metadata?.topics[$0.topic]?.partitionCount == 0 })
        return gone.isEmpty ? grants : grants.filter { gone[name($0)] == nil }
    }

    /// Topics of which a member holds a partition, or may name one in a poll sent again.
    func heldTopics(of members: some Collection<MemberID>) -> Set<TopicID> {
        var topics: Set<TopicID> = []
        for member in members {
            guard let assignment = assignments[member] else { continue }
            topics.formUnion(assignment.held.map(\.topic))
            topics.formUnion(assignment.released.keys.map(\.topic))
        }
        return topics
    }

    func names(_ places: Set<TopicPartition>) -> [NamedPartition: [TopicID]] {
        var names: [NamedPartition: [TopicID]] = [:]
        for place in places { names[name(place), default: []].append(place.topic) }
        return names
    }

    private func name(_ place: TopicPartition) -> NamedPartition {
        NamedPartition(topic: topicName(place.topic), partition: place.partition)
    }

    /// Whether it came after the group began to read its topic.
    package func isLater(_ place: TopicPartition) -> Bool {
        place.partition >= metadata?.topics[place.topic]?.firstPartitionCount ?? 0
    }

    package func topicName(_ topic: TopicID) -> String { metadata?.topics[topic]?.name ?? "" }

    // MARK: - Apply

    mutating func set(_ metadata: GroupMetadata?) {
        self.metadata = metadata
        if let metadata { epoch = max(epoch, metadata.epoch) }
    }

    mutating func setTarget(_ target: Set<TopicPartition>?, of member: MemberID) {
        for partition in targets[member] ?? [] where targetOwners[partition] == member {
            targetOwners[partition] = nil
        }
        targets[member] = target
        for partition in target ?? [] { targetOwners[partition] = member }
    }

    /// Returns the members who can now be given what this one let go.
    mutating func setAssignment(
        _ assignment: MemberAssignment?, of member: MemberID
    ) -> Set<MemberID> {
        let before = assignments[member]?.held ?? []
        let after = assignment?.held ?? []
        assignments[member] = assignment
        var woken: Set<MemberID> = []
        for partition in before where !after.contains(partition) && owners[partition] == member {
            owners[partition] = nil
            if let next = targetOwners[partition], next != member { woken.insert(next) }
        }
        for partition in after { owners[partition] = member }
        if let assignment { epoch = max(epoch, assignment.epoch) }
        return woken
    }
}
