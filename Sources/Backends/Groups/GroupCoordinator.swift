import Groups
package import Platform
import Synchronization

/// One offset of a commit, by the topic's name.
package struct OffsetCommit: Equatable, Sendable {
    package var topic: String
    package var partition: Int
    /// The first offset not yet processed.
    package var offset: Offset
    package var metadata: String

    package init(topic: String, partition: Int, offset: Offset, metadata: String = "") {
        self.topic = topic
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
}

/// The shell around the state of groups: decides under a lock, appends in order, answers when
/// durable.
///
/// A group's name is hashed to a shard of the state log, and each shard is loaded, locked and
/// failed by itself. An answer never shows what a crash could take back: a read waits for the last
/// record that was applied to its shard, as a commit waits for its own.
package final class GroupCoordinator: Sendable {
    fileprivate enum Phase {
        case loading
        case ready
        case failed(BackendError)
    }

    private struct ShardState {
        var phase = Phase.loading
        var store = OffsetStore()
        /// Behind the last record applied; nil until one was appended.
        var last: StateTicket?
    }

    private final class Shard: Sendable {
        let state = Mutex(ShardState())
    }

    private let backend: any Backend
    private let log: any StateLog
    private let time: any TimeSource
    private let shards: [Shard]

    package init(_ backend: any Backend, time: any TimeSource) {
        self.backend = backend
        self.time = time
        log = backend.stateLog
        shards = (0..<log.shardCount).map { _ in Shard() }
    }

    // MARK: - Loading

    /// Replays the state log, once the backend is ready. Until a shard is loaded whole its groups
    /// answer `.notReady`; one that cannot be loaded answers why, and leaves the others be.
    package func load() async {
        for index in shards.indices { await load(index) }
    }

    private func load(_ index: Int) async {
        var store = OffsetStore()
        var phase = Phase.ready
        do {
            try await log.replay(index) { records in
                for record in records {
                    // A later program's record, or none at all: it stays in the log.
                    guard let record = GroupRecord(key: record.key, value: record.value) else {
                        continue
                    }
                    store.apply(record)
                }
            }
        } catch { phase = .failed(error) }
        shards[index].state.withLock {
            $0.store = store
            $0.phase = phase
        }
    }

    // MARK: - Commit

    /// Stores all of the offsets or none; returns when they are durable.
    package func commit(
        _ group: String, _ offsets: [OffsetCommit]
    ) async throws(GroupError) {
        let id = try groupID(group)
        guard offsets.count <= Limits.offsetsPerCommit else {
            throw .tooManyOffsets(limit: Limits.offsetsPerCommit)
        }
        let now = time.wallMilliseconds()
        var entries: [(topic: TopicID, partition: Int32, offset: CommittedOffset)] = []
        entries.reserveCapacity(offsets.count)
        for offset in offsets { entries.append(try entry(offset, now)) }
        guard !entries.isEmpty else { return }
        try await change(id) { store throws(GroupError) in
            guard store.contains(id) || store.groupCount < Limits.groupsPerShard else {
                throw .tooManyGroups(limit: Limits.groupsPerShard * shards.count)
            }
            return store.commit(id, entries)
        }
    }

    private func entry(
        _ commit: OffsetCommit, _ now: Int64
    ) throws(GroupError) -> (topic: TopicID, partition: Int32, offset: CommittedOffset) {
        guard commit.metadata.utf8.count <= GroupLimits.metadataBytes else {
            throw .metadataTooLong(
                topic: commit.topic, partition: commit.partition,
                limit: GroupLimits.metadataBytes)
        }
        let topic: any Topic
        let bounds: PartitionBounds
        do throws(BackendError) {
            topic = try backend.topic(commit.topic)
            bounds = try topic.bounds(commit.partition)
        } catch {
            switch error {
            case .unknownTopic: throw .unknownTopic(commit.topic)
            case .unknownPartition(let partition, let count):
                throw .unknownPartition(
                    topic: commit.topic, partition, partitionCount: count)
            default: throw .backend(error)
            }
        }
        guard commit.offset >= Offset(0), commit.offset <= bounds.logEnd else {
            throw .offsetOutOfRange(
                topic: commit.topic, partition: commit.partition, latest: bounds.logEnd)
        }
        guard let topicID = TopicID(topic.topicID), let partition = Int32(exactly: commit.partition)
        else { throw .unknownTopic(commit.topic) }
        let offset = CommittedOffset(
            offset: commit.offset.value, committedAt: now, topicName: topic.name,
            metadata: commit.metadata)
        return (topicID, partition, offset)
    }

    // MARK: - Look

    /// What the group has committed, by topic and partition; empty for a group that is not there.
    /// What belongs to a deleted topic is left out, also where one of its name is there again.
    package func committed(_ group: String) async throws(GroupError) -> [GroupOffset] {
        let id = try groupID(group)
        let all = try await look(shard(of: id)) { $0.committed(id) }
        var topicIDs: [String: String?] = [:]
        var offsets: [GroupOffset] = []
        for (key, committed) in all {
            let name = committed.topicName
            let current: String?
            if let known = topicIDs[name] {
                current = known
            } else {
                current = try currentTopicID(name)
                topicIDs.updateValue(current, forKey: name)
            }
            guard let current, TopicID(current) == key.topic else { continue }
            offsets.append(
                GroupOffset(
                    topic: name, topicID: current, partition: Int(key.partition),
                    offset: Offset(committed.offset), metadata: committed.metadata,
                    committedAt: committed.committedAt))
        }
        return offsets.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
    }

    private func currentTopicID(_ name: String) throws(GroupError) -> String? {
        do throws(BackendError) { return try backend.topic(name).topicID } catch {
            guard case .unknownTopic = error else { throw .backend(error) }
            return nil
        }
    }

    /// The names of all groups, sorted.
    package func groups() async throws(GroupError) -> [String] {
        var names: [String] = []
        for index in shards.indices {
            names += try await look(index) { store in store.groups.map(\.name) }
        }
        return names.sorted()
    }

    package func contains(_ group: String) async throws(GroupError) -> Bool {
        let id = try groupID(group)
        return try await look(shard(of: id)) { $0.contains(id) }
    }

    // MARK: - Remove

    package func deleteGroup(_ group: String) async throws(GroupError) {
        let id = try groupID(group)
        try await change(id) { store throws(GroupError) in
            guard store.contains(id) else { throw .unknownGroup(group) }
            return store.remove(id)
        }
    }

    /// Forgets what groups have committed for a topic that was deleted. Nobody sees it any more;
    /// this gives its space back. Call it when a delete has succeeded, never because a topic is not
    /// found.
    package func forgetTopic(_ topicID: String) async throws(GroupError) {
        guard let topic = TopicID(topicID) else { return }
        for index in shards.indices {
            try await change(shard: index) { store in store.remove(topic) }
        }
    }

    // MARK: - Decide, append, apply; then wait

    private func change(
        _ group: GroupID, _ decide: (OffsetStore) throws(GroupError) -> [GroupRecord]
    ) async throws(GroupError) {
        try await change(shard: shard(of: group), decide)
    }

    /// Under the lock the records get their place in the log and in the state, in one order. Where
    /// the append throws, nothing has changed; where the wait throws, the shard's log takes no more
    /// records, and reads fail as this does.
    private func change(
        shard index: Int, _ decide: (OffsetStore) throws(GroupError) -> [GroupRecord]
    ) async throws(GroupError) {
        let ticket: StateTicket? = try shards[index].state.withLock { state throws(GroupError) in
            try state.phase.check()
            let records = try decide(state.store)
            guard !records.isEmpty else { return state.last }
            let encoded = records.map { StateRecord(key: $0.encodedKey, value: $0.encodedValue) }
            let ticket: StateTicket
            do throws(BackendError) { ticket = try log.append(encoded, to: index) } catch {
                throw .backend(error)
            }
            for record in records { state.store.apply(record) }
            state.last = ticket
            return ticket
        }
        try await durable(ticket)
    }

    /// What the shard says, once all it is made of is durable.
    private func look<Answer: Sendable>(
        _ index: Int, _ body: (OffsetStore) -> Answer
    ) async throws(GroupError) -> Answer {
        let (answer, last) = try shards[index].state.withLock { state throws(GroupError) in
            try state.phase.check()
            return (body(state.store), state.last)
        }
        try await durable(last)
        return answer
    }

    private func durable(_ ticket: StateTicket?) async throws(GroupError) {
        guard let ticket else { return }
        do throws(BackendError) { try await log.durable(ticket) } catch { throw .backend(error) }
    }

    private func groupID(_ name: String) throws(GroupError) -> GroupID {
        guard let id = GroupID(name) else { throw .invalidGroupName(name) }
        return id
    }

    private func shard(of group: GroupID) -> Int {
        murmur2Partition(Array(group.name.utf8).span, of: shards.count)
    }
}

extension GroupCoordinator.Phase {
    fileprivate func check() throws(GroupError) {
        switch self {
        case .loading: throw .backend(.notReady("loading groups"))
        case .ready: return
        case .failed(let error): throw .backend(error)
        }
    }
}
