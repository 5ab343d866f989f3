import Groups
package import Platform

/// A member as its answers show it.
package struct MemberView: Equatable, Sendable {
    package struct Place: Equatable, Sendable {
        package var topic: String
        package var topicID: String
        package var partition: Int
        /// nil where the group has committed nothing for it.
        package var committed: Offset?
        /// Where it begins then.
        package var startFrom = StartFrom.earliest
        /// Given to the member by the poll that this answers: what the client said before, it did
        /// not say of this.
        package var isNew = false
    }

    package var memberID = ""
    package var epoch: Int64 = 0
    /// Sorted by topic and partition.
    package var assignment: [Place] = []
    /// Milliseconds: three heartbeats fit a session.
    package var heartbeatInterval: Int64 = 0

    package init() {}
}

/// What a member says when it joins. Times in milliseconds.
package struct JoinRequest: Equatable, Sendable {
    package var topics: [String]
    /// nil: one is made up.
    package var memberID: String?
    package var sessionTimeout = GroupLimits.defaultSessionTimeout
    package var rebalanceTimeout = GroupLimits.defaultRebalanceTimeout
    package var assignor: Assignor?
    package var startFrom = StartFrom.earliest

    package init(topics: [String]) { self.topics = topics }
}

extension GroupCoordinator {
    // MARK: - Join and leave

    package func join(_ group: String, _ request: JoinRequest) async throws(GroupError)
        -> MemberView
    {
        let key = try key(group, request.memberID ?? newMemberID())
        let metadata = MemberMetadata(
            topics: request.topics, sessionTimeout: request.sessionTimeout,
            rebalanceTimeout: request.rebalanceTimeout, assignor: request.assignor,
            startFrom: request.startFrom)
        let wall = time.wallMilliseconds()
        return try await change(
            key,
            { groups, topics throws(GroupRefusal) in
                try groups.join(key, metadata, wall: wall, topics: topics)
            },
            then: { state, now in
                state.groups.touch(key, isPoll: true, now: now)
                state.watches.wake(key)
                return state.groups.view(key)
            })
    }

    package func leave(_ group: String, _ member: String) async throws(GroupError) {
        let key = try key(group, member)
        let wall = time.wallMilliseconds()
        try await change(
            key,
            { groups, topics throws(GroupRefusal) in
                try groups.leave(key, wall: wall, topics: topics)
            }, then: { _, _ in })
    }

    // MARK: - Poll

    /// A poll that has been taken; it ends with `end`, whatever came of it.
    package struct Poll: Sendable {
        fileprivate let key: MemberKey
        fileprivate let number: UInt64
        package let view: MemberView
    }

    /// Stores what the member has processed, takes its word that it let go what its epoch took
    /// away, and tells what it has now. Any other poll of the member that waits ends.
    package func poll(
        _ group: String, _ member: String, epoch: Int64, commit: [OffsetCommit]
    ) async throws(GroupError) -> Poll {
        let key = try key(group, member)
        let entries = try entries(commit, mustExist: false)
        let wall = time.wallMilliseconds()
        var before: Set<TopicPartition> = []
        return try await change(
            key,
            { groups, _ throws(GroupRefusal) in
                before = groups.owned(key)
                return try groups.poll(key, epoch: epoch, commit: entries, wall: wall)
            },
            then: { state, now in
                state.groups.touch(key, isPoll: true, now: now)
                let number = state.watches.beginPoll(key)
                let view = state.groups.view(key, before: before)
                return Poll(key: key, number: number, view: view)
            })
    }

    /// Polls once more for one that waited and has news; throws `.supersededPoll` where a newer one
    /// has come.
    package func lookAgain(_ poll: Poll) async throws(GroupError) -> Poll {
        let (key, epoch) = (poll.key, poll.view.epoch)
        let wall = time.wallMilliseconds()
        var before: Set<TopicPartition> = []
        return try await change(
            key,
            { groups, _ throws(GroupRefusal) in
                before = groups.owned(key)
                return try groups.poll(key, epoch: epoch, commit: [], wall: wall)
            },
            unless: { state in
                let isSuperseded = state.watches.isSuperseded(key, poll.number)
                return isSuperseded ? .supersededPoll(key.member.name) : nil
            },
            then: { state, now in
                state.groups.touch(key, isPoll: true, now: now)
                let view = state.groups.view(key, before: before)
                return Poll(key: key, number: poll.number, view: view)
            })
    }

    package func end(_ poll: Poll) {
        withWatches(poll.key) { $0.endPoll(poll.key, poll.number) }
    }

    /// Whether the assignment is about to change, for a poll that waits. Throws `.supersededPoll`,
    /// and what `poll` throws. The client is still there, so this counts as a sign of life.
    package func hasNews(_ poll: Poll) async throws(GroupError) -> Bool {
        let (key, epoch) = (poll.key, poll.view.epoch)
        let isSuperseded = withWatches(key) { $0.isSuperseded(key, poll.number) }
        if isSuperseded { throw .supersededPoll(key.member.name) }
        return try await heartbeat(key, epoch: epoch)
    }

    /// Wakes `wakeup` when a poll should look again, until `unwatch`.
    package func watch(_ group: String, _ member: String, _ wakeup: Wakeup)
        throws(GroupError) -> UInt64
    {
        let key = try key(group, member)
        return withWatches(key) { $0.add(key, wakeup) }
    }

    package func unwatch(_ group: String, _ member: String, _ watch: UInt64) {
        guard let key = try? key(group, member) else { return }
        withWatches(key) { $0.remove(key, watch) }
    }

    // MARK: - Heartbeat, and commit between polls

    /// Returns whether the member should poll at once: another assignment waits for it, or others
    /// wait for its word that it let go what it lost.
    package func heartbeat(
        _ group: String, _ member: String, epoch: Int64
    ) async throws(GroupError) -> Bool {
        try await heartbeat(try key(group, member), epoch: epoch)
    }

    private func heartbeat(_ key: MemberKey, epoch: Int64) async throws(GroupError) -> Bool {
        try await change(
            key,
            { groups, _ throws(GroupRefusal) in
                try groups.check(key, epoch: epoch)
                return []
            },
            then: { state, now in
                state.groups.touch(key, isPoll: false, now: now)
                return state.groups.state.groups[key.group]?.mustPoll(key.member) ?? false
            })
    }

    /// The member as it is, for a stream that begins with its epoch. Changes nothing.
    package func view(
        _ group: String, _ member: String, epoch: Int64
    ) async throws(GroupError) -> MemberView {
        let key = try key(group, member)
        return try await change(
            key,
            { groups, _ throws(GroupRefusal) in
                try groups.check(key, epoch: epoch)
                return []
            }, then: { state, _ in state.groups.view(key) })
    }

    package func commit(
        _ group: String, _ member: String, epoch: Int64, _ offsets: [OffsetCommit]
    ) async throws(GroupError) {
        let key = try key(group, member)
        let entries = try entries(offsets, mustExist: false)
        let wall = time.wallMilliseconds()
        try await change(
            key,
            { groups, _ throws(GroupRefusal) in
                try groups.commit(entries, by: key, epoch: epoch, wall: wall)
            }, then: { state, now in state.groups.touch(key, isPoll: false, now: now) })
    }

    // MARK: -

    private func change<Answer: Sendable>(
        _ key: MemberKey,
        _ decide: (GroupShard, TopicLookup) throws(GroupRefusal) -> [GroupRecord],
        unless stop: (CoordinatorShard) -> GroupError? = { _ in nil },
        then look: (inout CoordinatorShard, _ now: Duration) -> Answer
    ) async throws(GroupError) -> Answer {
        try await change(
            shard: shard(of: key.group), decide,
            refused: { refusal, groups in
                GroupError(
                    refusal, key.group, groups.view(key), shards: shardIndexes.count)
            },
            unless: stop, then: look)
    }

    private func key(_ group: String, _ member: String) throws(GroupError) -> MemberKey {
        guard let id = MemberID(member) else { throw .invalidMemberName(member) }
        return MemberKey(try groupID(group), id)
    }

    /// 128 random bits, so that nobody guesses another's.
    private func newMemberID() -> String {
        let digits = String(random(), radix: 16) + "-" + String(random(), radix: 16)
        return "member-" + digits
    }
}

extension GroupShard {
    fileprivate func owned(_ key: MemberKey) -> Set<TopicPartition> {
        state.groups[key.group]?.assignments[key.member]?.owned ?? []
    }

    /// `before` is what the member had when it asked; nil where it gave no place to begin at.
    fileprivate func view(_ key: MemberKey, before: Set<TopicPartition>? = nil) -> MemberView {
        var view = MemberView()
        view.memberID = key.member.name
        guard let group = state.groups[key.group], let member = group.members[key.member],
            let assignment = group.assignments[key.member]
        else { return view }
        view.epoch = assignment.epoch
        view.heartbeatInterval = member.sessionTimeout / 3
        view.assignment = assignment.owned.map { place in
            let committed = state.offsets.committed(
                OffsetKey(group: key.group, topic: place.topic, partition: place.partition))
            return MemberView.Place(
                topic: group.topicName(place.topic), topicID: place.topic.description,
                partition: Int(place.partition), committed: committed.map { Offset($0.offset) },
                startFrom: group.isLater(place) ? .earliest : member.startFrom,
                isNew: before.map { !$0.contains(place) } ?? false)
        }.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
        return view
    }
}
