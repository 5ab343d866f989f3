extension GroupShard {
    // MARK: - Join

    /// A new member; or one of this name once more, which fences whoever used the name before and
    /// keeps its partitions. Sending it twice does no harm.
    package func join(
        _ key: MemberKey, _ metadata: MemberMetadata, wall: Int64, topics: TopicLookup
    ) throws(GroupRefusal) -> [GroupRecord] {
        let group = state.groups[key.group] ?? Group()
        let before = group.members[key.member]
        guard state.contains(key.group) || state.groupCount < Limits.groupsPerShard else {
            throw .tooManyGroups(limit: Limits.groupsPerShard)
        }
        guard before != nil || group.members.count < Limits.membersPerGroup else {
            throw .tooManyMembers(limit: Limits.membersPerGroup)
        }
        var metadata = metadata
        metadata.joinedAt = before?.joinedAt ?? wall
        metadata.joinEpoch = state.nextEpoch(key.group)
        var members = group.members
        members[key.member] = metadata
        guard partitionCount(members, topics) <= Limits.partitionsPerGroup else {
            throw .tooManyPartitions(limit: Limits.partitionsPerGroup)
        }
        var records: [GroupRecord] = [.member(key, metadata)]
        var target = group.targets[key.member] ?? []
        var reason = group.metadata?.reason ?? ""
        if before?.topics != metadata.topics || before?.assignor != metadata.assignor
            || isOutdated(group, members, topics)
        {
            let what = before == nil ? "joined" : "changed what it subscribes to"
            reason = "member \(key.member.name) \(what)"
            let change = rebalance(
                key.group, members, reason: reason, wall: wall, topics: topics)
            target = change.targets[key.member] ?? []
            records += change.records
        }
        // Whoever joins works on nothing yet: what it is not meant to have is free at once.
        let current = group.assignments[key.member]
        let owned = target.intersection(current?.owned ?? [])
            .union(group.grants(key.member, target, current))
        records.append(
            .assignment(
                key,
                MemberAssignment(
                    epoch: metadata.joinEpoch, owned: owned, since: wall, reason: reason)))
        return records
    }

    // MARK: - Leave, and be taken for gone

    package func leave(
        _ key: MemberKey, wall: Int64, topics: TopicLookup
    ) throws(GroupRefusal) -> [GroupRecord] {
        guard state.groups[key.group]?.members[key.member] != nil else { throw .unknownMember }
        return remove(
            [key.member], from: key.group, reason: "member \(key.member.name) left", wall: wall,
            topics: topics)
    }

    /// Ends members whose time has passed, or ages an empty group.
    package func expire(_ due: Due, wall: Int64, topics: TopicLookup) -> [GroupRecord] {
        guard let first = due.members.first else { return age(due.group) }
        let others = due.members.count > 1 ? " and \(due.members.count - 1) more" : ""
        return remove(
            due.members, from: due.group,
            reason: "member \(first.name)\(others) did not poll or heartbeat in time", wall: wall,
            topics: topics)
    }

    private func remove(
        _ leaving: [MemberID], from id: GroupID, reason: String, wall: Int64, topics: TopicLookup
    ) -> [GroupRecord] {
        guard let group = state.groups[id] else { return [] }
        var members = group.members
        var records: [GroupRecord] = []
        for member in leaving where members.removeValue(forKey: member) != nil {
            let key = MemberKey(id, member)
            records += [.assignment(key, nil), .target(key, nil), .member(key, nil)]
        }
        guard !records.isEmpty else { return [] }
        if members.isEmpty && !state.offsets.contains(id) { return records + end(id) }
        return records
            + rebalance(id, members, reason: reason, wall: wall, topics: topics).records
    }

    /// The group's own record goes; its epochs are never given again.
    private func end(_ id: GroupID) -> [GroupRecord] {
        [.group(id, nil), .epochFloor(state.nextEpoch(id) - 1)]
    }

    private func age(_ id: GroupID) -> [GroupRecord] {
        guard !state.hasMembers(id) else { return [] }
        let age = emptyAge(id) + Limits.emptyAgeInterval
        guard state.offsets.contains(id), age < Limits.offsetRetention else {
            return forget(id)
        }
        return [.group(id, metadata(of: id, emptyAge: age))]
    }

    /// Ends an empty group and all that it has committed.
    package func delete(_ id: GroupID) throws(GroupRefusal) -> [GroupRecord] {
        guard state.contains(id) else { throw .unknownGroup }
        guard !state.hasMembers(id) else { throw .groupNotEmpty }
        return forget(id)
    }

    private func forget(_ id: GroupID) -> [GroupRecord] {
        state.offsets.committed(id).map { .offsetRemoved($0.key) }.sorted(by: Self.precedes)
            + end(id)
    }

    private static func precedes(_ left: GroupRecord, _ right: GroupRecord) -> Bool {
        left.encodedKey.lexicographicallyPrecedes(right.encodedKey)
    }

    /// What the group as a whole is, with another age.
    func metadata(of id: GroupID, emptyAge: Int64) -> GroupMetadata {
        var metadata = state.groups[id]?.metadata ?? GroupMetadata(epoch: 0)
        metadata.epoch = state.groups[id]?.epoch ?? 0
        metadata.emptyAge = emptyAge
        return metadata
    }

    // MARK: - Topics

    package func groups(subscribedTo topic: String) -> [GroupID] {
        state.groups(subscribedTo: topic)
    }

    /// Looks at the group's topics again: one that was created, grew, was deleted or came anew.
    /// Nothing where all is as it was.
    package func refresh(_ id: GroupID, wall: Int64, topics: TopicLookup) -> [GroupRecord] {
        guard let group = state.groups[id], isOutdated(group, group.members, topics) else {
            return []
        }
        return rebalance(
            id, group.members, reason: "a topic was created, grew or was deleted", wall: wall,
            topics: topics
        ).records
    }

    /// Forgets what groups have committed for a topic that was deleted.
    package func forget(_ topic: TopicID) -> [GroupRecord] {
        state.offsets.keys(of: topic).map { .offsetRemoved($0) }.sorted(by: Self.precedes)
    }

    private func isOutdated(
        _ group: Group, _ members: [MemberID: MemberMetadata], _ topics: TopicLookup
    ) -> Bool {
        let present = shapes(members, topics).values.map { ($0.topic, $0.partitionCount) }
        let known = (group.metadata?.topics ?? [:]).filter { $0.value.partitionCount > 0 }
        return present.count != known.count
            || present.contains { known[$0.0]?.partitionCount != $0.1 }
    }

    private func shapes(
        _ members: [MemberID: MemberMetadata], _ topics: TopicLookup
    ) -> [String: TopicShape] {
        var names: Set<String> = []
        for member in members.values { names.formUnion(member.topics) }
        var shapes: [String: TopicShape] = [:]
        var partitions = 0
        for name in names.sorted() {
            guard let shape = topics(name) else { continue }
            partitions += Int(shape.partitionCount)
            // A topic that grew beyond what a group may have is left out; a join is refused.
            if partitions <= Limits.partitionsPerGroup { shapes[name] = shape }
        }
        return shapes
    }

    private func partitionCount(
        _ members: [MemberID: MemberMetadata], _ topics: TopicLookup
    ) -> Int {
        var names: Set<String> = []
        for member in members.values { names.formUnion(member.topics) }
        return names.reduce(0) { $0 + Int(topics($1)?.partitionCount ?? 0) }
    }

    // MARK: - Rebalance

    /// The target assignment of `members`, with the records of what is new in it.
    private func rebalance(
        _ id: GroupID, _ members: [MemberID: MemberMetadata], reason: String, wall: Int64,
        topics: TopicLookup
    ) -> (records: [GroupRecord], targets: [MemberID: Set<TopicPartition>]) {
        let group = state.groups[id] ?? Group()
        let shapes = shapes(members, topics)
        var sharing = Sharing(members, shapes)
        let targets = sharing.share(
            Assignor.chosen(by: members.values), current: group.targets)
        var metadata = GroupMetadata(epoch: group.epoch, changedAt: wall, reason: reason)
        for (name, shape) in shapes {
            metadata.topics[shape.topic] = GroupTopic(
                name: name, partitionCount: shape.partitionCount,
                firstPartitionCount: firstPartitionCount(of: name, shape, id))
        }
        let gone = (group.metadata?.topics ?? [:]).filter { metadata.topics[$0.key] == nil }
        let held = gone.isEmpty ? [] : group.heldTopics(of: members.keys)
        for (topic, var known) in gone
        where held.contains(topic) || state.offsets.contains(id, topic) {
            known.partitionCount = 0
            metadata.topics[topic] = known
        }
        var records: [GroupRecord] = [.group(id, metadata)]
        for member in sharing.members where targets[member] != group.targets[member] {
            records.append(.target(MemberKey(id, member), targets[member]))
        }
        return (records, targets)
    }

    private func firstPartitionCount(
        of name: String, _ shape: TopicShape, _ id: GroupID
    ) -> Int32 {
        if let known = state.groups[id]?.metadata?.topics[shape.topic] {
            return known.firstPartitionCount
        }
        // A topic that a member has waited for is new from its first partition on.
        return state.hasSubscribers(id, name) ? 0 : shape.partitionCount
    }
}
