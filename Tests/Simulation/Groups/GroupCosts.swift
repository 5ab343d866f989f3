import Groups

/// What the decisions of one large group cost, each with the records it appends applied.
package struct GroupCosts {
    private var shard = GroupShard()
    private let topics: [String: TopicShape]
    private let group: GroupID
    private let memberCount: Int

    /// The partitions are those of ten topics, to which every member subscribes.
    package init?(members: Int, partitions: Int) {
        guard let group = GroupID("g"), members > 1 else { return nil }
        self.group = group
        memberCount = members
        var topics: [String: TopicShape] = [:]
        for index in 0..<10 {
            topics["t\(index)"] = TopicShape(
                TopicID(high: UInt64(index), low: 1), partitionCount: Int32(partitions / 10))
        }
        self.topics = topics
        shard.start(now: .zero)
    }

    /// The mean of each kind, in the order of a group's life.
    package mutating func measure() throws -> [(what: String, each: Duration)] {
        var costs: [(what: String, each: Duration)] = []
        let clock = ContinuousClock()
        func note(_ what: String, _ count: Int, _ body: () throws -> Void) rethrows {
            costs.append((what, try clock.measure(body) / count))
        }
        try note("join, mean of all", memberCount) {
            for index in 0..<memberCount { try join(index) }
        }
        try note("poll while the group settles", 3 * memberCount) {
            for _ in 0..<3 { for index in 0..<memberCount { try poll(index) } }
        }
        try note("poll with nothing new", memberCount) {
            for index in 0..<memberCount { try poll(index) }
        }
        try note("leave", 10) { for index in 0..<10 { try leave(index) } }
        try note("join of the last", 10) { for index in 0..<10 { try join(index) } }
        note("expiry of all but one at once", 1) {
            shard.touch(key(0), isPoll: true, now: .seconds(40))
            let topics = topics
            for due in shard.due(now: .seconds(50)) {
                apply(shard.expire(due, wall: 0) { topics[$0] })
            }
        }
        return costs
    }

    private func key(_ index: Int) -> MemberKey {
        guard let member = MemberID("member-\(index)") else { preconditionFailure("no name") }
        return MemberKey(group, member)
    }

    private mutating func apply(_ records: [GroupRecord]) {
        _ = shard.apply(records, now: .zero)
    }

    private mutating func join(_ index: Int) throws {
        let topics = topics
        let metadata = MemberMetadata(topics: Array(topics.keys))
        apply(try shard.join(key(index), metadata, wall: 0) { topics[$0] })
    }

    private mutating func leave(_ index: Int) throws {
        let topics = topics
        apply(try shard.leave(key(index), wall: 0) { topics[$0] })
    }

    private mutating func poll(_ index: Int) throws {
        let key = key(index)
        let epoch = shard.state.groups[group]?.assignments[key.member]?.epoch ?? 0
        apply(try shard.poll(key, epoch: epoch, commit: [], wall: 0))
    }
}
