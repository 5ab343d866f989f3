import Backends
import Platform
import TestSupport
import Testing

struct GroupCoordinatorTests {
    private let time = ManualTime()

    private func loaded(
        _ log: MemoryStateLog = MemoryStateLog()
    ) async -> (GroupCoordinator, NamedTopics, MemoryStateLog) {
        let backend = NamedTopics(log)
        backend.set("orders", id: 1)
        backend.set("audit", id: 2, partitions: 1)
        let coordinator = GroupCoordinator(backend, time: time, random: { 7 })
        await coordinator.load()
        return (coordinator, backend, log)
    }

    private func restarted(_ backend: NamedTopics) async -> GroupCoordinator {
        let backend = NamedTopics(backend.log.afterCrash(), like: backend)
        let coordinator = GroupCoordinator(backend, time: time, random: { 7 })
        await coordinator.load()
        return coordinator
    }

    private func names(_ groups: GroupCoordinator) async throws -> [String] {
        try await groups.groups().map(\.name)
    }

    @Test
    func `what was committed is shown, sorted, with what the client keeps`() async throws {
        let (groups, _, _) = await loaded()
        try await groups.commit(
            "g",
            [
                OffsetCommit(topic: "orders", partition: 3, offset: Offset(17), metadata: "m"),
                OffsetCommit(topic: "audit", partition: 0, offset: Offset(0)),
            ])
        let offsets = try await groups.committed("g")
        #expect(offsets.map(\.topic) == ["audit", "orders"])
        #expect(offsets[1].partition == 3)
        #expect(offsets[1].offset == Offset(17))
        #expect(offsets[1].metadata == "m")
        #expect(offsets[1].committedAt == time.wallMilliseconds())
        #expect(try await names(groups) == ["g"])
        #expect(try await groups.committed("another") == [])
    }

    /// Pitfall 34.
    @Test
    func `an acknowledged commit is there after a power cut`() async throws {
        let (groups, backend, _) = await loaded()
        let commit = OffsetCommit(topic: "orders", partition: 0, offset: Offset(5))
        try await groups.commit("g", [commit])
        let after = await restarted(backend)
        #expect(try await after.committed("g").map(\.offset) == [Offset(5)])
    }

    /// Pitfall 34: neither the commit nor who looks is answered before it is durable.
    @Test
    func `no answer shows what a crash could take back`() async throws {
        let (groups, backend, log) = await loaded()
        let five = OffsetCommit(topic: "orders", partition: 0, offset: Offset(5))
        try await groups.commit("g", [five])
        log.hold()
        async let commit: Void = groups.commit(
            "g", [OffsetCommit(topic: "orders", partition: 0, offset: Offset(9))])
        await log.someoneWaits()
        let isAnswered = Latest<Bool>()
        async let look: [GroupOffset] = {
            let offsets = try await groups.committed("g")
            isAnswered.value = true
            return offsets
        }()
        for _ in 0..<100 { await Task.yield() }
        #expect(isAnswered.value == nil)
        let crashed = await restarted(backend)
        #expect(try await crashed.committed("g").map(\.offset) == [Offset(5)])
        log.release()
        try await commit
        let seen = try await look
        #expect(seen.map(\.offset) == [Offset(9)])
    }

    @Test
    func `after a failed sync neither commits nor looks are answered as if all were well`()
        async throws
    {
        let (groups, _, log) = await loaded()
        let five = OffsetCommit(topic: "orders", partition: 0, offset: Offset(5))
        log.hold()
        async let commit: Void = groups.commit("g", [five])
        await log.someoneWaits()
        log.fail(.partitionFailed("EIO"))
        let failed = GroupError.backend(.partitionFailed("EIO"))
        do {
            try await commit
            Issue.record("the commit was acknowledged")
        } catch { #expect(error as? GroupError == failed) }
        await #expect(throws: failed) { _ = try await groups.committed("g") }
        await #expect(throws: failed) { try await groups.commit("g", [five]) }
    }

    /// Pitfall 36.
    @Test
    func `until the state is loaded whole nothing is answered`() async throws {
        let backend = NamedTopics(MemoryStateLog())
        backend.set("orders", id: 1)
        let groups = GroupCoordinator(backend, time: time, random: { 7 })
        let loading = GroupError.backend(.notReady("loading groups"))
        await #expect(throws: loading) { _ = try await groups.committed("g") }
        await #expect(throws: loading) { _ = try await groups.groups() }
        await #expect(throws: loading) { try await groups.deleteGroup("g") }
        await #expect(throws: loading) {
            try await groups.commit(
                "g", [OffsetCommit(topic: "orders", partition: 0, offset: Offset(5))])
        }
        await groups.load()
        #expect(try await names(groups) == [])
    }

    @Test
    func `state that cannot be loaded is not taken for none`() async throws {
        let log = MemoryStateLog()
        log.fail(.damaged(at: Offset(3), "bad checksum"))
        let (groups, _, _) = await loaded(log)
        await #expect(throws: GroupError.backend(.damaged(at: Offset(3), "bad checksum"))) {
            _ = try await groups.committed("g")
        }
    }

    /// Pitfall 35, in the shell: random requests, then a restart.
    @Test(arguments: 0..<10 as Range<UInt64>)
    func `after a restart the groups say what they said`(seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        let (groups, backend, _) = await loaded()
        for _ in 0..<100 {
            let group = "g\(Int.random(in: 0..<6, using: &random))"
            if Int.random(in: 0..<8, using: &random) == 0 {
                do { try await groups.deleteGroup(group) } catch GroupError.unknownGroup {}
                continue
            }
            try await groups.commit(
                group,
                [
                    OffsetCommit(
                        topic: "orders", partition: Int.random(in: 0..<4, using: &random),
                        offset: Offset(Int64.random(in: 0...1000, using: &random)))
                ])
            time.advance(by: .milliseconds(1))
        }
        let after = await restarted(backend)
        let before = try await names(groups)
        #expect(try await names(after) == before)
        for name in before {
            #expect(try await after.committed(name) == groups.committed(name))
        }
    }

    @Test
    func `records of a later program are passed over`() async throws {
        let log = MemoryStateLog()
        _ = try log.append(
            [StateRecord(key: [9, 9], value: [1]), StateRecord(key: [], value: nil)], to: 0)
        let (groups, _, _) = await loaded(log)
        #expect(try await names(groups) == [])
    }

    /// Pitfall 27.
    @Test
    func `offsets of a deleted and re-created topic are not shown`() async throws {
        let (groups, backend, _) = await loaded()
        let commit = OffsetCommit(topic: "orders", partition: 0, offset: Offset(5))
        try await groups.commit("g", [commit])
        backend.remove("orders")
        #expect(try await groups.committed("g") == [])
        backend.set("orders", id: 7)
        #expect(try await groups.committed("g") == [])
        backend.set("orders", id: 1)
        #expect(try await groups.committed("g").count == 1)
    }

    @Test
    func `a topic forgotten leaves nothing of it, in no group`() async throws {
        let (groups, backend, _) = await loaded()
        for group in ["a", "b", "c"] {
            try await groups.commit(
                group, [OffsetCommit(topic: "orders", partition: 0, offset: Offset(5))])
        }
        try await groups.commit(
            "c", [OffsetCommit(topic: "audit", partition: 0, offset: Offset(5))])
        try await groups.forgetTopic(backend.topic("orders").topicID)
        #expect(try await names(groups) == ["c"])
        let after = await restarted(backend)
        #expect(try await names(after) == ["c"])
    }

    @Test
    func `a commit names what is wrong and stores nothing`() async throws {
        let (groups, _, log) = await loaded()
        let good = OffsetCommit(topic: "orders", partition: 0, offset: Offset(5))
        let bad: [(OffsetCommit, GroupError)] = [
            (OffsetCommit(topic: "no", partition: 0, offset: Offset(5)), .unknownTopic("no")),
            (
                OffsetCommit(topic: "orders", partition: 4, offset: Offset(5)),
                .unknownPartition(topic: "orders", 4, partitionCount: 4)
            ),
            (
                OffsetCommit(topic: "orders", partition: -1, offset: Offset(5)),
                .unknownPartition(topic: "orders", -1, partitionCount: 4)
            ),
            (
                OffsetCommit(topic: "orders", partition: 1, offset: Offset(-1)),
                .offsetOutOfRange(topic: "orders", partition: 1, latest: Offset(1000))
            ),
            (
                OffsetCommit(topic: "orders", partition: 1, offset: Offset(1001)),
                .offsetOutOfRange(topic: "orders", partition: 1, latest: Offset(1000))
            ),
            (
                OffsetCommit(
                    topic: "orders", partition: 1, offset: Offset(1),
                    metadata: String(repeating: "ä", count: 2049)),
                .metadataTooLong(topic: "orders", partition: 1, limit: 4096)
            ),
        ]
        for (commit, error) in bad {
            await #expect(throws: error) { try await groups.commit("g", [good, commit]) }
        }
        await #expect(throws: GroupError.invalidGroupName("a/b")) {
            try await groups.commit("a/b", [good])
        }
        await #expect(throws: GroupError.tooManyOffsets(limit: GroupLimits.partitionsPerGroup)) {
            try await groups.commit(
                "g", Array(repeating: good, count: GroupLimits.partitionsPerGroup + 1))
        }
        await #expect(throws: GroupError.unknownGroup("g")) { try await groups.deleteGroup("g") }
        #expect(log.recordCount == 0)
    }

    @Test
    func `as many groups as a shard takes, and one more is refused`() async throws {
        let (groups, _, _) = await loaded(MemoryStateLog(shardCount: 1))
        let commit = [OffsetCommit(topic: "orders", partition: 0, offset: Offset(5))]
        for index in 0..<GroupLimits.groupsPerShard { try await groups.commit("g\(index)", commit) }
        await #expect(throws: GroupError.tooManyGroups(limit: GroupLimits.groupsPerShard)) {
            try await groups.commit("another", commit)
        }
        try await groups.commit("g7", commit)
        try await groups.deleteGroup("g8")
        try await groups.commit("another", commit)
    }
}
