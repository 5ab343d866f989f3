import Groups
import Testing

struct MembershipTests {
    private func place(_ topic: Int, _ partition: Int32, _ life: UInt64 = 1) -> TopicPartition {
        GroupFixture.place(topic, partition, life: life)
    }

    // MARK: - Join and poll

    @Test
    func `the first member is given all at once`() throws {
        var group = GroupFixture(partitions: 3)
        #expect(try group.join("a") == 1)
        #expect(group.owned("a") == [place(1, 0), place(1, 1), place(1, 2)])
    }

    /// Pitfall 38: not in the round in which it is taken away.
    @Test
    func `a partition goes to its new owner when the old one's poll has confirmed`() throws {
        var group = GroupFixture(partitions: 2)
        try group.join("a")
        try group.join("b")
        #expect(group.owned("b").isEmpty)
        try group.poll("a")
        try group.poll("b")
        #expect(group.assignment("a")?.revoking == [place(1, 1)])
        #expect(group.owned("b").isEmpty)
        try group.poll("a")
        try group.poll("b")
        #expect(group.owned("b") == [place(1, 1)])
        #expect(group.group?.isStable == true)
    }

    @Test
    func `a heartbeat or commit with the new epoch confirms nothing`() throws {
        var group = GroupFixture(partitions: 2)
        try group.join("a")
        try group.join("b")
        try group.poll("a")
        group.heartbeat("a")
        try group.commit("a", GroupFixture.entry(1, 1, 5))
        try group.poll("b")
        #expect(group.owned("b").isEmpty)
    }

    @Test
    func `the confirming poll may carry the last commit`() throws {
        var group = GroupFixture(partitions: 2)
        try group.join("a")
        try group.join("b")
        try group.poll("a")
        try group.poll("a", GroupFixture.entry(1, 1, 17))
        #expect(group.committed(1, 1) == 17)
    }

    /// Pitfall 33: stored, and not refused because it is stored already.
    @Test
    func `that poll sent again is answered the same, also when the new owner went on`() throws {
        var group = GroupFixture(partitions: 2)
        try group.join("a")
        try group.join("b")
        let epoch = try group.poll("a")
        try group.poll("a", epoch: epoch, GroupFixture.entry(1, 1, 17))
        try group.poll("b")
        try group.commit("b", GroupFixture.entry(1, 1, 30))
        #expect(try group.poll("a", epoch: epoch, GroupFixture.entry(1, 1, 17)) == epoch)
        #expect(group.committed(1, 1) == 30)
        #expect(throws: GroupRefusal.partitionNotAssigned(topic: "t1", partition: 1)) {
            try group.poll("a", epoch: epoch, GroupFixture.entry(1, 1, 18))
        }
    }

    /// Found by the simulator.
    @Test
    func `that poll sent again is answered the same when the topic is gone meanwhile`() throws {
        var group = GroupFixture(partitions: 2, 2)
        try group.join("a", [1, 2])
        try group.join("b", [1, 2])
        let epoch = try group.poll("a")
        let given = try #require(group.assignment("a")?.revoking.min())
        let topic = Int(given.topic.high)
        try group.poll("a", epoch: epoch, GroupFixture.entry(topic, given.partition, 3))
        group.topics["t\(topic)"] = nil
        group.refresh()
        try group.commit("a", GroupFixture.entry(topic, given.partition, 3, life: nil))
    }

    /// Pitfall 33.
    @Test
    func `a poll that brought another epoch is refused when sent again, and stores nothing`() throws
    {
        var group = GroupFixture(partitions: 2)
        let epoch = try group.join("a")
        try group.join("b")
        let next = try group.poll("a", GroupFixture.entry(1, 0, 5))
        #expect(throws: GroupRefusal.fencedMemberEpoch(current: next)) {
            try group.poll("a", epoch: epoch, GroupFixture.entry(1, 0, 4))
        }
        #expect(group.committed(1, 0) == 5)
    }

    /// Found by reading: the commit means the old topic, and would have skipped the new one's records.
    @Test
    func `a commit while a re-created topic's partition is let go does not count for the new one`()
        throws
    {
        var group = GroupFixture(partitions: 1)
        try group.join("a")
        group.setTopic(1, 1, life: 2)
        group.refresh()
        try group.poll("a")
        #expect(group.owned("a").isEmpty)
        try group.poll("a", GroupFixture.entry(1, 0, 500, life: 2))
        #expect(group.committed(1, 0, life: 2) == nil)
        #expect(group.owned("a") == [place(1, 0, 2)])
    }

    // MARK: - Fencing

    /// Pitfall 32.
    @Test
    func `a commit of a member that was silent beyond its session is refused`() throws {
        var group = GroupFixture(partitions: 1)
        let epoch = try group.join("a")
        try group.commit("a", GroupFixture.entry(1, 0, 5))
        group.advance(.seconds(11))
        #expect(throws: GroupRefusal.unknownMember) {
            try group.commit("a", epoch: epoch, GroupFixture.entry(1, 0, 9))
        }
        try group.join("a")
        #expect(throws: GroupRefusal.fencedInstance) {
            try group.commit("a", epoch: epoch, GroupFixture.entry(1, 0, 9))
        }
        #expect(group.committed(1, 0) == 5)
    }

    /// Pitfall 37: the refusal must not tell the epoch by which the first could go on.
    @Test
    func `a second process of one name fences the first, for good and over a restart`() throws {
        var group = GroupFixture(partitions: 2)
        let first = try group.join("a")
        try group.join("a")
        for round in 0..<3 {
            #expect(throws: GroupRefusal.fencedInstance, "round \(round)") {
                try group.poll("a", epoch: first)
            }
            if round == 0 { try group.join("b") } else { group.restart() }
            try group.poll("a")
        }
        #expect(group.owned("a") == [place(1, 0)])
    }

    @Test
    func `a lost answer of its own tells the member its epoch, also behind a rejoin`() throws {
        var group = GroupFixture(partitions: 2)
        try group.join("a")
        let epoch = try group.join("a")
        try group.join("b")
        let lost = try group.poll("a")
        #expect(lost > epoch)
        #expect(throws: GroupRefusal.fencedMemberEpoch(current: lost)) {
            try group.poll("a", epoch: epoch)
        }
    }

    @Test
    func `a commit for another's partition is refused, and nothing of it is stored`() throws {
        var group = GroupFixture(partitions: 2)
        try group.join("a")
        #expect(throws: GroupRefusal.partitionNotAssigned(topic: "t1", partition: 2)) {
            try group.commit("a", GroupFixture.entry(1, 0, 5), GroupFixture.entry(1, 2, 5))
        }
        #expect(group.committed(1, 0) == nil)
    }

    /// Found by the simulator: it was accepted, and no record.
    @Test(arguments: [-1, .min])
    func `an offset below 0 is refused`(offset: Int64) throws {
        var group = GroupFixture(partitions: 1)
        try group.join("a")
        #expect(throws: GroupRefusal.offsetOutOfRange(topic: "t1", partition: 0, latest: 0)) {
            try group.commit("a", GroupFixture.entry(1, 0, offset))
        }
        #expect(throws: GroupRefusal.offsetOutOfRange(topic: "t1", partition: -1, latest: 0)) {
            _ = try GroupShard().commit(
                [GroupFixture.entry(1, -1, 5)], to: GroupFixture.group, wall: 1)
        }
    }

    /// Pitfall 44.
    @Test
    func `a member may commit a lower offset, as in Kafka`() throws {
        var group = GroupFixture(partitions: 1)
        try group.join("a")
        try group.commit("a", GroupFixture.entry(1, 0, 20))
        try group.commit("a", GroupFixture.entry(1, 0, 10))
        #expect(group.committed(1, 0) == 10)
    }

    @Test
    func `nobody but a member commits while there are any`() throws {
        var group = GroupFixture(partitions: 1)
        try group.join("a")
        #expect(throws: GroupRefusal.groupNotEmpty) {
            _ = try group.shard.commit(
                [GroupFixture.entry(1, 0, 1)], to: GroupFixture.group, wall: 1)
        }
    }

    // MARK: - Epochs

    /// Pitfall 32: a client of the group that was must not be one of the group that is.
    @Test
    func `a group that ended and comes again goes on with its epochs`() throws {
        var group = GroupFixture(partitions: 1)
        let epoch = try group.join("a")
        try group.leave("a")
        #expect(group.group == nil)
        group.restart()
        #expect(try group.join("a") > epoch)
    }

    @Test
    func `a deleted group that comes again goes on with its epochs`() throws {
        var group = GroupFixture(partitions: 1)
        let epoch = try group.join("a")
        try group.commit("a", GroupFixture.entry(1, 0, 1))
        try group.leave("a")
        group.apply(try group.shard.delete(GroupFixture.group))
        #expect(!group.shard.state.contains(GroupFixture.group))
        #expect(try group.join("a") > epoch)
    }

    // MARK: - Restart

    /// Pitfalls 35 and 40.
    @Test
    func `a static member keeps its partitions over a restart of itself and of the server`() throws
    {
        var group = GroupFixture(partitions: 4)
        try group.join("a")
        try group.join("b")
        for name in ["a", "a", "b"] { try group.poll(name) }
        let owned = group.owned("b")
        #expect(owned.count == 2)
        try group.join("b")
        let state = group.shard.state
        group.restart()
        #expect(group.shard.state == state)
        try group.join("b")
        #expect(group.owned("b") == owned)
        #expect(group.group?.isStable == true)
    }

    /// Partitions and topics of which a member could have missed what came before its first poll.
    @Test
    func `what a group already reads and grows is later, also while nobody was in the group`()
        throws
    {
        var group = GroupFixture(partitions: 2)
        func later() -> Set<TopicPartition> {
            group.owned("a").filter { group.group?.isLater($0) == true }
        }
        try group.join("a", [1, 2])
        #expect(later().isEmpty)
        group.setTopic(1, 3)
        group.setTopic(2, 1)
        group.refresh()
        try group.poll("a")
        #expect(later() == [place(1, 2), place(2, 0)])
        try group.commit("a", GroupFixture.entry(1, 0, 5))
        try group.leave("a")
        group.setTopic(1, 4)
        group.restart()
        group.refresh()
        try group.join("a", [1, 2])
        #expect(later() == [place(1, 2), place(1, 3)])
        group.setTopic(1, 2, life: 2)
        group.refresh()
        for _ in 0..<2 { try group.poll("a") }
        #expect(later() == [place(1, 0, 2), place(1, 1, 2)], "the topic came anew meanwhile")
    }

    @Test
    func `topics that come, grow and go reach the members`() throws {
        var group = GroupFixture(partitions: 1)
        try group.join("a", [1, 2])
        group.setTopic(2, 2)
        group.refresh()
        try group.poll("a")
        #expect(group.owned("a").count == 3)
        group.setTopic(1, 2)
        group.refresh()
        try group.poll("a")
        #expect(group.owned("a").count == 4)
        group.topics["t2"] = nil
        group.refresh()
        try group.poll("a")
        #expect(group.owned("a") == [place(1, 0), place(1, 1)])
        #expect(group.shard.refresh(GroupFixture.group, wall: 1) { group.topics[$0] }.isEmpty)
    }

    @Test
    func `a group has so many members, and so many partitions, and no more`() throws {
        var group = GroupFixture(partitions: 1)
        let metadata = MemberMetadata(
            topics: ["t1"], sessionTimeout: 10_000, rebalanceTimeout: 20_000, assignor: nil)
        group.apply(
            (0..<Limits.membersPerGroup).map { .member(GroupFixture.member("m\($0)"), metadata) })
        #expect(throws: GroupRefusal.tooManyMembers(limit: Limits.membersPerGroup)) {
            try group.join("more")
        }
        try group.join("m0")
        #expect(group.group?.members.count == Limits.membersPerGroup)

        var wide = GroupFixture(partitions: Int32(Limits.partitionsPerGroup), 1)
        #expect(throws: GroupRefusal.tooManyPartitions(limit: Limits.partitionsPerGroup)) {
            try wide.join("a", [1, 2])
        }
        #expect(wide.group == nil)
        try wide.join("a", [1])
        #expect(wide.owned("a").count == Limits.partitionsPerGroup)
    }
}
