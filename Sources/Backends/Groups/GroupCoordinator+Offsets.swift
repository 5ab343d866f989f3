package import Groups
import Platform

/// One offset of a commit, by the topic's name.
package struct OffsetCommit: Equatable, Sendable {
    package var topic: String
    package var partition: Int
    /// The first offset not yet processed.
    package var offset: Offset
    package var metadata: String
    /// What the topic's ID begins with, where that is known.
    package var topicTag: String?

    package init(
        topic: String, partition: Int, offset: Offset, metadata: String = "",
        topicTag: String? = nil
    ) {
        self.topic = topic
        self.topicTag = topicTag
        self.partition = partition
        self.offset = offset
        self.metadata = metadata
    }
}

/// What a group has committed for one partition of a topic that is there.
package struct GroupOffset: Equatable, Sendable {
    package var topic: String
    package var topicID: String
    package var partition: Int
    package var offset: Offset
    package var metadata: String
    /// Milliseconds since 1970.
    package var committedAt: Int64
    /// The member that has the partition.
    package var owner: String?
}

/// A group in the list of all.
package struct GroupSummary: Equatable, Sendable {
    package var name: String
    package var state: GroupDescription.State
    package var memberCount: Int
}

extension GroupCoordinator {
    // MARK: - Commit

    /// Stores all of the offsets or none, for a group without members; returns when they are
    /// durable.
    package func commit(
        _ group: String, _ offsets: [OffsetCommit]
    ) async throws(GroupError) {
        let id = try groupID(group)
        let entries = try entries(offsets)
        guard !entries.isEmpty else { return }
        let wall = time.wallMilliseconds()
        try await change(id) { groups, _ throws(GroupRefusal) in
            try groups.commit(entries, to: id, wall: wall)
        }
    }

    /// By the topic's ID. Of a member's commit the value judges what is not there any more; of
    /// another's it must exist.
    func entries(
        _ commits: [OffsetCommit], mustExist: Bool = true
    ) throws(GroupError) -> [OffsetEntry] {
        guard commits.count <= GroupLimits.partitionsPerGroup else {
            throw .tooManyOffsets(limit: GroupLimits.partitionsPerGroup)
        }
        var entries: [OffsetEntry] = []
        entries.reserveCapacity(commits.count)
        for commit in commits {
            if let entry = try entry(commit, mustExist: mustExist) { entries.append(entry) }
        }
        return entries
    }

    /// nil for what means a topic that is gone, though another has its name: there is nothing to
    /// store, and its member need not know yet.
    private func entry(_ commit: OffsetCommit, mustExist: Bool) throws(GroupError) -> OffsetEntry? {
        guard commit.metadata.utf8.count <= GroupLimits.metadataBytes else {
            throw .metadataTooLong(
                topic: commit.topic, partition: commit.partition,
                limit: GroupLimits.metadataBytes)
        }
        guard let partition = Int32(exactly: commit.partition) else {
            throw .unknownPartition(topic: commit.topic, commit.partition, partitionCount: 0)
        }
        var entry = OffsetEntry(
            topicName: commit.topic, topic: nil, partition: partition, offset: commit.offset.value,
            metadata: commit.metadata)
        let bounds: PartitionBounds
        do throws(BackendError) {
            let topic = try backend.topic(commit.topic)
            if let tag = commit.topicTag, !topic.topicID.hasPrefix(tag) { return nil }
            entry.topic = TopicID(topic.topicID)
            bounds = try topic.bounds(commit.partition)
        } catch {
            switch error {
            case .unknownTopic:
                if mustExist { throw .unknownTopic(commit.topic) }
                // Not gone, perhaps: what is dropped here would be read again after the repair.
                guard !backend.mayBeUnreadable(tag: commit.topicTag) else {
                    throw .backend(
                        .partitionFailed("the topic may be one whose topic.json cannot be read"))
                }
                return entry
            case .unknownPartition(let partition, let count):
                guard mustExist else { return entry }
                throw .unknownPartition(
                    topic: commit.topic, partition, partitionCount: count)
            case .partitionFailed where !mustExist && entry.topic != nil: return entry
            default: throw .backend(error)
            }
        }
        guard commit.offset >= Offset(0), commit.offset <= bounds.logEnd else {
            guard mustExist else {
                entry.exceeds = bounds.logEnd.value
                return entry
            }
            throw .offsetOutOfRange(
                topic: commit.topic, partition: commit.partition, latest: bounds.logEnd)
        }
        return entry
    }

    // MARK: - Look

    /// What the group has committed, by topic and partition; empty for a group that is not there.
    /// What belongs to a deleted topic is left out, also where one of its name is there again.
    package func committed(_ group: String) async throws(GroupError) -> [GroupOffset] {
        let id = try groupID(group)
        let all = try await look(shard: shard(of: id)) { state, _ in
            state.groups.state.offsets.committed(id).map { key, committed in
                let place = TopicPartition(key.topic, key.partition)
                let owner = state.groups.state.groups[id]?.owners[place]?.name
                return (place: place, committed: committed, owner: owner)
            }
        }
        let topics = PresentTopics(backend)
        var topicIDs: [String: TopicID?] = [:]
        var offsets: [GroupOffset] = []
        for (place, committed, owner) in all {
            let name = committed.topicName
            let current = topicIDs[name] ?? topics.shape(name)?.topic
            topicIDs.updateValue(current, forKey: name)
            if let failure = topics.failure { throw .backend(failure) }
            guard let current, current == place.topic else { continue }
            offsets.append(
                GroupOffset(
                    topic: name, topicID: current.description, partition: Int(place.partition),
                    offset: Offset(committed.offset), metadata: committed.metadata,
                    committedAt: committed.committedAt, owner: owner))
        }
        return offsets.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
    }

    /// The names of all groups with their state, sorted.
    package func groups() async throws(GroupError) -> [GroupSummary] {
        var found: [GroupSummary] = []
        for index in shardIndexes {
            found += try await look(shard: index) { state, _ in
                state.groups.state.groupIDs.map { id in
                    let (groupState, memberCount) = state.groups.summary(id)
                    return GroupSummary(
                        name: id.name, state: groupState, memberCount: memberCount)
                }
            }
        }
        return found.sorted { $0.name < $1.name }
    }

    /// Throws `.unknownGroup`.
    package func describe(_ group: String) async throws(GroupError) -> GroupDescription {
        let id = try groupID(group)
        let found = try await look(shard: shard(of: id)) { state, _ in state.groups.describe(id) }
        guard let found else { throw .unknownGroup(group) }
        return found
    }

    // MARK: - Remove

    /// Ends a group that has no members.
    package func deleteGroup(_ group: String) async throws(GroupError) {
        let id = try groupID(group)
        try await change(id) { groups, _ throws(GroupRefusal) in try groups.delete(id) }
    }

    /// Forgets what groups have committed for a topic that was deleted. Nobody sees it any more;
    /// this gives its space back. Call it when a delete has succeeded, never because a topic is not
    /// found.
    package func forgetTopic(_ topicID: String) async throws(GroupError) {
        guard let topic = TopicID(topicID) else { return }
        for index in shardIndexes {
            try await change(
                shard: index, { groups, _ in groups.forget(topic) },
                refused: { _, _ in .backend(.storage("not refused")) }, then: { _, _ in })
        }
    }

    // MARK: - Names

    func groupID(_ name: String) throws(GroupError) -> GroupID {
        guard let id = GroupID(name) else { throw .invalidGroupName(name) }
        return id
    }

    /// A change of a group as a whole.
    private func change(
        _ id: GroupID, _ decide: (GroupShard, TopicLookup) throws(GroupRefusal) -> [GroupRecord]
    ) async throws(GroupError) {
        try await change(
            shard: shard(of: id), decide,
            refused: { refusal, _ in GroupError(refusal, id, shards: shardIndexes.count) },
            then: { _, _ in })
    }
}

extension GroupError {
    /// A refusal, of a request that speaks for `member` or for the group as a whole.
    init(
        _ refusal: GroupRefusal, _ group: GroupID, _ member: MemberView? = nil, shards: Int
    ) {
        switch refusal {
        case .unknownGroup: self = .unknownGroup(group.name)
        case .unknownMember: self = .unknownMember(member?.memberID ?? "")
        case .fencedInstance: self = .fencedInstance(member?.memberID ?? "")
        case .fencedMemberEpoch: self = .fencedMemberEpoch(member ?? MemberView())
        case .partitionNotAssigned(let topic, let partition):
            self = .partitionNotAssigned(topic: topic, partition: Int(partition))
        case .offsetOutOfRange(let topic, let partition, let latest):
            self = .offsetOutOfRange(
                topic: topic, partition: Int(partition), latest: Offset(latest))
        case .unknownTopic(let name): self = .unknownTopic(name)
        case .groupNotEmpty: self = .groupNotEmpty(group.name)
        case .tooManyGroups(let limit): self = .tooManyGroups(limit: limit * shards)
        case .tooManyMembers(let limit): self = .tooManyMembers(limit: limit)
        case .tooManyPartitions(let limit): self = .tooManyPartitions(limit: limit)
        }
    }
}
