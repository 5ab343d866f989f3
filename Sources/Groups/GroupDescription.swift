/// A group as it is told to people.
package struct GroupDescription: Equatable, Sendable {
    package enum State: String, Sendable {
        /// No members.
        case empty
        /// All have what they are meant to have.
        case stable
        /// Something is still to be given back, or to be taken up.
        case rebalancing
    }

    package struct Place: Equatable, Sendable {
        package var topic: String
        package var partition: Int32
    }

    package struct Member: Equatable, Sendable {
        package var member: MemberID
        package var metadata: MemberMetadata
        package var epoch: Int64
        package var owned: [Place]
        /// Taken away, and not yet given back.
        package var revoking: [Place]
        /// Meant for it, and not yet its own.
        package var pending: [Place]
        package var since: Int64
        package var reason: String
    }

    package var state: State
    package var assignor: Assignor
    /// When the partitions were last shared out anew, and why. Milliseconds since 1970.
    package var changedAt: Int64
    package var reason: String
    package var members: [Member]
}

extension GroupShard {
    /// nil where there is no such group.
    package func describe(_ id: GroupID) -> GroupDescription? {
        guard state.contains(id) else { return nil }
        let group = state.groups[id] ?? Group()
        let members = group.members.keys.sorted().map { group.describe($0) }
        return GroupDescription(
            state: summary(id).state,
            assignor: Assignor.chosen(by: group.members.values),
            changedAt: group.metadata?.changedAt ?? 0, reason: group.metadata?.reason ?? "",
            members: members)
    }

    /// What a list says of a group that is there.
    package func summary(_ id: GroupID) -> (state: GroupDescription.State, memberCount: Int) {
        guard let group = state.groups[id], !group.members.isEmpty else { return (.empty, 0) }
        return (group.isStable ? .stable : .rebalancing, group.members.count)
    }

    /// A member as its own answers show it; nil where it is not there.
    package func describe(_ key: MemberKey) -> GroupDescription.Member? {
        guard let group = state.groups[key.group], group.members[key.member] != nil else {
            return nil
        }
        return group.describe(key.member)
    }
}

extension Group {
    fileprivate func describe(_ member: MemberID) -> GroupDescription.Member {
        let assignment = assignments[member]
        let owned = assignment?.owned ?? []
        return GroupDescription.Member(
            member: member, metadata: members[member] ?? MemberMetadata(topics: []),
            epoch: assignment?.epoch ?? 0, owned: places(owned),
            revoking: places(assignment?.revoking ?? []),
            pending: places((targets[member] ?? []).subtracting(owned)),
            since: assignment?.since ?? 0, reason: assignment?.reason ?? "")
    }

    private func places(_ partitions: Set<TopicPartition>) -> [GroupDescription.Place] {
        partitions.map {
            GroupDescription.Place(topic: topicName($0.topic), partition: $0.partition)
        }.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
    }
}
