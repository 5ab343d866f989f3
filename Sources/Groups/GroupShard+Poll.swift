extension GroupShard {
    // MARK: - Poll

    /// Whether the member may speak with this epoch.
    package func check(_ key: MemberKey, epoch: Int64) throws(GroupRefusal) {
        _ = try member(key, epoch)
    }

    /// A member's poll: stores what it commits, takes it as the word that it has let go what its
    /// epoch took away, and brings its assignment nearer to the target.
    ///
    /// The same poll sent again changes nothing, or, where it brought another epoch, is refused
    /// with that epoch and nothing stored.
    package func poll(
        _ key: MemberKey, epoch: Int64, commit: [OffsetEntry], wall: Int64
    ) throws(GroupRefusal) -> [GroupRecord] {
        let (group, assignment) = try member(key, epoch)
        let records = try store(commit, key.group, group, assignment, wall)
        var next = assignment
        if !assignment.revoking.isEmpty {
            next.released = released(assignment, key.group, group, commit, records)
            next.revoking = []
        }
        let target = group.targets[key.member] ?? []
        let taken = assignment.owned.subtracting(target)
        let grants = group.grants(key.member, target, assignment, giving: taken)
        if !taken.isEmpty || !grants.isEmpty {
            next.revoking = taken
            next.owned = assignment.owned.subtracting(taken).union(grants)
            next.released = next.released.filter { place, _ in !grants.contains(place) }
            next.epoch = state.nextEpoch(key.group)
            next.since = wall
            next.reason = group.metadata?.reason ?? ""
        }
        return next == assignment ? records : records + [.assignment(key, next)]
    }

    private func member(
        _ key: MemberKey, _ epoch: Int64
    ) throws(GroupRefusal) -> (Group, MemberAssignment) {
        guard let group = state.groups[key.group], let member = group.members[key.member],
            let assignment = group.assignments[key.member]
        else { throw .unknownMember }
        guard epoch >= member.joinEpoch else { throw .fencedInstance }
        guard assignment.epoch == epoch else {
            throw .fencedMemberEpoch(current: assignment.epoch)
        }
        return (group, assignment)
    }

    /// What the member lets go with this poll and what stands committed for it then; of what it let
    /// go before, that which this poll, sent again, names once more.
    private func released(
        _ assignment: MemberAssignment, _ id: GroupID, _ group: Group, _ commit: [OffsetEntry],
        _ records: [GroupRecord]
    ) -> [TopicPartition: Int64] {
        let named = Set(
            commit.compactMap { entry in
                entry.topic.map { TopicPartition($0, entry.partition) }
            })
        var released = assignment.released.filter { named.contains($0.key) }
        for place in assignment.revoking {
            let key = OffsetKey(group: id, topic: place.topic, partition: place.partition)
            if let committed = state.offsets.committed(key) { released[place] = committed.offset }
        }
        for case .offsetCommitted(let key, let committed) in records {
            let place = TopicPartition(key.topic, key.partition)
            if assignment.revoking.contains(place) { released[place] = committed.offset }
        }
        // Of a topic that is gone nothing was stored, and the same poll must find that again.
        let known = group.names(assignment.revoking)
        for entry in commit {
            for topic in known[entry.name] ?? [] where topic != entry.topic {
                let place = TopicPartition(topic, entry.partition)
                released[place] = released[place] ?? 0
            }
        }
        return released
    }

    // MARK: - Commit

    /// A member's commit, without a poll.
    package func commit(
        _ entries: [OffsetEntry], by key: MemberKey, epoch: Int64, wall: Int64
    ) throws(GroupRefusal) -> [GroupRecord] {
        let (group, assignment) = try member(key, epoch)
        return try store(entries, key.group, group, assignment, wall)
    }

    /// A commit for a group without members, whose consumers share the partitions out themselves.
    package func commit(
        _ entries: [OffsetEntry], to id: GroupID, wall: Int64
    ) throws(GroupRefusal) -> [GroupRecord] {
        guard !state.hasMembers(id) else { throw .groupNotEmpty }
        guard state.contains(id) || state.groupCount < Limits.groupsPerShard else {
            throw .tooManyGroups(limit: Limits.groupsPerShard)
        }
        var records: [GroupRecord] = []
        for entry in entries {
            guard let topic = entry.topic else { throw .unknownTopic(entry.topicName) }
            if let record = try record(of: entry, topic, id, wall) { records.append(record) }
        }
        if emptyAge(id) > 0 { records.append(.group(id, metadata(of: id, emptyAge: 0))) }
        return records
    }

    private func store(
        _ entries: [OffsetEntry], _ id: GroupID, _ group: Group, _ assignment: MemberAssignment,
        _ wall: Int64
    ) throws(GroupRefusal) -> [GroupRecord] {
        var records: [GroupRecord] = []
        var known: [NamedPartition: [TopicID]]?
        for entry in entries {
            if let topic = entry.topic {
                let place = TopicPartition(topic, entry.partition)
                if assignment.owned.contains(place) || assignment.revoking.contains(place) {
                    if let latest = entry.exceeds {
                        throw .offsetOutOfRange(
                            topic: entry.topicName, partition: entry.partition, latest: latest)
                    }
                    if let record = try record(of: entry, topic, id, wall) {
                        records.append(record)
                    }
                    continue
                }
                // The poll that let it go, sent again: its commit is stored already.
                if assignment.released[place] == entry.offset { continue }
            }
            // Of a topic that is gone there is nothing to commit, and the member need not know yet.
            if known == nil { known = group.names(assignment.held.union(assignment.released.keys)) }
            if known?[entry.name]?.contains(where: { $0 != entry.topic }) == true { continue }
            guard entry.topic != nil else { throw .unknownTopic(entry.topicName) }
            throw .partitionNotAssigned(topic: entry.topicName, partition: entry.partition)
        }
        return records
    }

    /// nil where just that is committed already.
    private func record(
        of entry: OffsetEntry, _ topic: TopicID, _ group: GroupID, _ wall: Int64
    ) throws(GroupRefusal) -> GroupRecord? {
        guard entry.offset >= 0, entry.partition >= 0 else {
            throw .offsetOutOfRange(
                topic: entry.topicName, partition: entry.partition, latest: 0)
        }
        let key = OffsetKey(group: group, topic: topic, partition: entry.partition)
        if let known = state.offsets.committed(key), known.offset == entry.offset,
            known.metadata == entry.metadata, known.topicName == entry.topicName
        {
            return nil
        }
        return .offsetCommitted(
            key,
            CommittedOffset(
                offset: entry.offset, committedAt: wall, topicName: entry.topicName,
                metadata: entry.metadata))
    }
}
