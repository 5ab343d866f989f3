import Groups
package import Platform
import Synchronization

/// The shell around the state of groups: decides under a lock, appends in order, answers when
/// durable.
///
/// A group's name is hashed to a shard of the state log, and each shard is loaded, locked and
/// failed by itself. An answer never shows what a crash could take back: a read waits for the last
/// record that was applied to its shard, as a change waits for its own.
package final class GroupCoordinator: Sendable {
    private final class Shard: Sendable {
        let state = Mutex(CoordinatorShard())
    }

    let backend: any Backend
    let time: any TimeSource
    let random: @Sendable () -> UInt64
    private let log: any StateLog
    private let clock = Mutex(SessionClock())
    private let shards: [Shard]

    /// `random` gives the bits of the member IDs that are made up here.
    package init(
        _ backend: any Backend, time: any TimeSource, random: @escaping @Sendable () -> UInt64
    ) {
        self.backend = backend
        self.time = time
        self.random = random
        log = backend.stateLog
        shards = (0..<log.shardCount).map { _ in Shard() }
    }

    // MARK: - Loading

    /// Replays the state log, once the backend is ready, and follows the topics from then on. Until
    /// a shard is loaded whole its groups answer `.notReady`; one that cannot be loaded answers
    /// why, and leaves the others be. Sessions are counted while `tick` is called.
    package func load() async {
        backend.observeTopics { [weak self] name in self?.topicChanged(name) }
        for index in shards.indices { await load(index) }
    }

    private func load(_ index: Int) async {
        var groups = GroupShard()
        var phase = CoordinatorShard.Phase.ready
        do {
            try await log.replay(index) { records in
                for record in records {
                    // A later program's record, or none at all: it stays in the log.
                    guard let record = GroupRecord(key: record.key, value: record.value) else {
                        continue
                    }
                    groups.replay(record)
                }
            }
        } catch { phase = .failed(error) }
        groups.start(now: sessionNow)
        shards[index].state.withLock { state in
            state.groups = groups
            state.phase = phase
            // Topics may have changed since the last record.
            state.outdated = Set(groups.state.groups.keys)
            refresh(&state, index)
        }
    }

    // MARK: - Decide, append, apply; then wait

    /// Under the lock the records get their place in the log and in the state, in one order, and
    /// `look` sees what came of it; `stop` may end it before. Where the append throws, nothing has
    /// changed; where the wait throws, the shard's log takes no more records, and reads fail as
    /// this does.
    func change<Answer: Sendable>(
        shard index: Int,
        _ decide: (GroupShard, TopicLookup) throws(GroupRefusal) -> [GroupRecord],
        refused: (GroupRefusal, GroupShard) -> GroupError,
        unless stop: (CoordinatorShard) -> GroupError? = { _ in nil },
        then look: (inout CoordinatorShard, _ now: Duration) -> Answer
    ) async throws(GroupError) -> Answer {
        let now = sessionNow
        let topics = PresentTopics(backend)
        let (result, last) = try shards[index].state.withLock {
            (state) throws(GroupError) -> (Result<Answer, GroupError>, StateTicket?) in
            try state.check()
            if let error = stop(state) { throw error }
            let records: [GroupRecord]
            do throws(GroupRefusal) {
                records = try decide(state.groups, topics.shape)
            } catch {
                return (.failure(refused(error, state.groups)), state.last)
            }
            if let failure = topics.failure { throw .backend(failure) }
            do throws(BackendError) {
                try state.append(records, to: index, of: log, now: now)
            } catch { throw .backend(error) }
            return (.success(look(&state, now)), state.last)
        }
        try await durable(last)
        return try result.get()
    }

    /// What the shard says, once all it is made of is durable.
    func look<Answer: Sendable>(
        shard index: Int, _ body: (inout CoordinatorShard, _ now: Duration) -> Answer
    ) async throws(GroupError) -> Answer {
        let now = sessionNow
        let (answer, last) = try shards[index].state.withLock { state throws(GroupError) in
            try state.check()
            return (body(&state, now), state.last)
        }
        try await durable(last)
        return answer
    }

    /// A look at what is not durable anyway: who waits.
    func withWatches<Answer: Sendable>(
        _ key: MemberKey, _ body: (inout MemberWatches) -> Answer
    ) -> Answer {
        shards[shard(of: key.group)].state.withLock { body(&$0.watches) }
    }

    private func durable(_ ticket: StateTicket?) async throws(GroupError) {
        guard let ticket else { return }
        do throws(BackendError) { try await log.durable(ticket) } catch { throw .backend(error) }
    }

    var shardIndexes: Range<Int> { shards.indices }

    func shard(of group: GroupID) -> Int {
        murmur2Partition(Array(group.name.utf8).span, of: shards.count)
    }

    // MARK: - Time and topics

    private var sessionNow: Duration {
        let now = Duration.nanoseconds(time.now().nanoseconds)
        return clock.withLock { $0.read(now) }
    }

    /// Ends the members whose time has passed. To be called a few times a second from one thread:
    /// a longer silence is taken for a pause of this process, and counts for nobody. Nobody is
    /// answered here, so nothing is waited for.
    package func tick() {
        let now = sessionNow
        for index in shards.indices {
            shards[index].state.withLock { state in
                guard case .ready = state.phase else { return }
                if !state.outdated.isEmpty { refresh(&state, index) }
                guard let next = state.groups.nextDeadline, next <= now else { return }
                let watches = state.watches
                for due in state.groups.due(now: now, isConnected: { watches.contains($0) }) {
                    let topics = PresentTopics(backend)
                    let records = state.groups.expire(
                        due, wall: time.wallMilliseconds(), topics: topics.shape)
                    do throws(BackendError) {
                        if let failure = topics.failure { throw failure }
                        try state.append(records, to: index, of: log, now: now)
                    } catch {
                        state.groups.postpone(due, until: now + Limits.expiryRetry)
                    }
                }
            }
        }
    }

    /// A topic was created, grew or was deleted: the groups that subscribe to it look again.
    private func topicChanged(_ name: String) {
        for index in shards.indices {
            shards[index].state.withLock { state in
                guard case .ready = state.phase else { return }
                state.outdated.formUnion(state.groups.groups(subscribedTo: name))
                refresh(&state, index)
            }
        }
    }

    /// What cannot be written now is tried again by `tick`.
    private func refresh(_ state: inout CoordinatorShard, _ index: Int) {
        let now = sessionNow
        for group in state.outdated {
            let topics = PresentTopics(backend)
            let records = state.groups.refresh(
                group, wall: time.wallMilliseconds(), topics: topics.shape)
            do throws(BackendError) {
                if let failure = topics.failure { throw failure }
                try state.append(records, to: index, of: log, now: now)
                state.outdated.remove(group)
            } catch { return }
        }
    }
}
