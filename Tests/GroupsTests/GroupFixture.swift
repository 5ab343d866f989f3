import Groups

/// A coordinator with one group, driven step by step. Topics are `t1`, `t2`, …
struct GroupFixture {
    var shard = GroupShard()
    var topics: [String: TopicShape] = [:]
    var now = Duration.zero
    private(set) var log: [GroupRecord] = []

    init(partitions: Int32...) {
        shard.start(now: .zero)
        for (index, count) in partitions.enumerated() { setTopic(index + 1, count) }
    }

    static let group = name("g")

    static func name(_ name: String) -> GroupID {
        guard let id = GroupID(name) else { preconditionFailure("\(name) is no name") }
        return id
    }

    static func member(_ name: String) -> MemberKey {
        guard let id = MemberID(name) else { preconditionFailure("\(name) is no name") }
        return MemberKey(group, id)
    }

    static func place(_ topic: Int, _ partition: Int32, life: UInt64 = 1) -> TopicPartition {
        TopicPartition(TopicID(high: UInt64(topic), low: life), partition)
    }

    static func entry(
        _ topic: Int, _ partition: Int32, _ offset: Int64, life: UInt64? = 1
    ) -> OffsetEntry {
        OffsetEntry(
            topicName: "t\(topic)", topic: life.map { TopicID(high: UInt64(topic), low: $0) },
            partition: partition, offset: offset)
    }

    mutating func setTopic(_ topic: Int, _ count: Int32, life: UInt64 = 1) {
        topics["t\(topic)"] = TopicShape(
            TopicID(high: UInt64(topic), low: life), partitionCount: count)
    }

    // MARK: - Requests

    @discardableResult
    mutating func apply(_ records: [GroupRecord]) -> [MemberKey] {
        log += records
        return shard.apply(records, now: now)
    }

    @discardableResult
    mutating func join(
        _ name: String, _ subscribed: [Int] = [1], session: Int64 = 10_000,
        rebalance: Int64 = 20_000, assignor: Assignor? = nil
    ) throws(GroupRefusal) -> Int64 {
        let topics = topics
        let metadata = MemberMetadata(
            topics: subscribed.map { "t\($0)" }, sessionTimeout: session,
            rebalanceTimeout: rebalance, assignor: assignor)
        apply(try shard.join(Self.member(name), metadata, wall: 1) { topics[$0] })
        shard.touch(Self.member(name), isPoll: true, now: now)
        return epoch(name)
    }

    @discardableResult
    mutating func poll(
        _ name: String, epoch: Int64? = nil, _ commit: OffsetEntry...
    ) throws(GroupRefusal) -> Int64 {
        let key = Self.member(name)
        apply(try shard.poll(key, epoch: epoch ?? self.epoch(name), commit: commit, wall: 1))
        shard.touch(key, isPoll: true, now: now)
        return self.epoch(name)
    }

    mutating func commit(
        _ name: String, epoch: Int64? = nil, _ entries: OffsetEntry...
    ) throws(GroupRefusal) {
        let key = Self.member(name)
        apply(
            try shard.commit(entries, by: key, epoch: epoch ?? self.epoch(name), wall: 1))
    }

    mutating func leave(_ name: String) throws(GroupRefusal) {
        let topics = topics
        apply(try shard.leave(Self.member(name), wall: 1) { topics[$0] })
    }

    mutating func heartbeat(_ name: String) {
        shard.touch(Self.member(name), isPoll: false, now: now)
    }

    mutating func refresh() {
        let topics = topics
        apply(shard.refresh(Self.group, wall: 1) { topics[$0] })
    }

    /// Time passes in steps.
    mutating func advance(_ span: Duration, step: Duration = .seconds(1)) {
        let end = now + span
        while now < end {
            now += min(step, end - now)
            let topics = topics
            for due in shard.due(now: now) {
                apply(shard.expire(due, wall: 1) { topics[$0] })
            }
        }
    }

    mutating func restart() {
        shard = GroupShard()
        for record in log { shard.replay(record) }
        shard.start(now: now)
    }

    // MARK: - State

    var group: Group? { shard.state.groups[Self.group] }

    func assignment(_ name: String) -> MemberAssignment? {
        group?.assignments[Self.member(name).member]
    }

    func epoch(_ name: String) -> Int64 { assignment(name)?.epoch ?? 0 }

    func owned(_ name: String) -> Set<TopicPartition> { assignment(name)?.owned ?? [] }

    func committed(_ topic: Int, _ partition: Int32, life: UInt64 = 1) -> Int64? {
        let key = OffsetKey(
            group: Self.group, topic: TopicID(high: UInt64(topic), low: life),
            partition: partition)
        return shard.state.offsets.committed(key)?.offset
    }
}
