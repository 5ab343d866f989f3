import Backends
import Platform
import TestSupport
import Testing

/// The shell around members: what is durable before it is answered, who is woken, who is taken for
/// gone. What is decided is tested in `GroupsTests`.
struct GroupMembersTests {
    private let time = ManualTime()

    private func loaded(
        _ log: MemoryStateLog = MemoryStateLog()
    ) async -> (GroupCoordinator, NamedTopics) {
        let backend = NamedTopics(log)
        backend.set("orders", id: 1)
        return (await coordinator(backend), backend)
    }

    private func coordinator(_ backend: NamedTopics) async -> GroupCoordinator {
        let random = SeededRandomSource()
        let coordinator = GroupCoordinator(backend, time: time, random: { random.next() })
        await coordinator.load()
        return coordinator
    }

    private func request(_ member: String?, _ topics: [String] = ["orders"]) -> JoinRequest {
        var request = JoinRequest(topics: topics)
        request.memberID = member
        return request
    }

    private func places(_ view: MemberView) -> [String] {
        view.assignment.map { "\($0.topic)/\($0.partition)" }
    }

    /// Two members who have what they are meant to have: `a` 0 and 1, `b` 2 and 3.
    private func pair(_ groups: GroupCoordinator) async throws -> (a: Int64, b: Int64) {
        let first = try await groups.join("g", request("a"))
        _ = try await groups.join("g", request("b"))
        let shrunk = try await groups.poll("g", "a", epoch: first.epoch, commit: [])
        _ = try await groups.poll("g", "a", epoch: shrunk.view.epoch, commit: [])
        let b = try await groups.poll("g", "b", epoch: 2, commit: [])
        #expect(places(b.view) == ["orders/2", "orders/3"])
        return (shrunk.view.epoch, b.view.epoch)
    }

    private func advance(_ groups: GroupCoordinator, by seconds: Int) {
        for _ in 0..<seconds * 4 {
            time.advance(by: .milliseconds(250))
            groups.tick()
        }
    }

    @Test func `a member without a name gets one that nobody has`() async throws {
        let (groups, _) = await loaded()
        let first = try await groups.join("g", request(nil))
        let second = try await groups.join("g", request(nil))
        #expect(first.memberID != second.memberID)
        #expect(places(first).count == 4)
        #expect(places(second).isEmpty)
    }

    /// Pitfall 34, for membership: an epoch that a crash takes back must not have been told.
    @Test func `no epoch is told before it is durable`() async throws {
        let (groups, backend) = await loaded()
        _ = try await groups.join("g", request("a"))
        backend.log.hold()
        let isAnswered = Latest<Bool>()
        async let join: MemberView = {
            let view = try await groups.join("g", request("b"))
            isAnswered.value = true
            return view
        }()
        await backend.log.someoneWaits()
        for _ in 0..<100 { await Task.yield() }
        #expect(isAnswered.value == nil)
        let crashed = await coordinator(NamedTopics(backend.log.afterCrash(), like: backend))
        #expect(try await crashed.describe("g").members.map(\.member.name) == ["a"])
        backend.log.release()
        let joined = try await join
        #expect(joined.epoch == 2)
    }

    /// DESIGN.md §3: restart, or takeover, starts no rebalance. Pitfalls 35 and 40.
    @Test func `after a restart the same polls go on with the same epochs`() async throws {
        let (groups, backend) = await loaded()
        let epochs = try await pair(groups)
        _ = try await groups.join("g", request("b"))
        let before = try await groups.describe("g")
        let after = await coordinator(NamedTopics(backend.log.afterCrash(), like: backend))
        #expect(try await after.describe("g") == before)
        let a = try await after.poll("g", "a", epoch: epochs.a, commit: [])
        #expect(a.view.epoch == epochs.a)
        #expect(places(a.view) == ["orders/0", "orders/1"])
        #expect(try await after.describe("g") == before)
    }

    /// A crash between any two records: each prefix of the log is a state to go on from.
    @Test func `a topic that changed while nothing ran is seen at the start`() async throws {
        let (groups, backend) = await loaded()
        let view = try await groups.join("g", request("a", ["orders", "later"]))
        let again = NamedTopics(backend.log.afterCrash(), like: backend)
        again.set("later", id: 2, partitions: 1)
        let after = await coordinator(again)
        let poll = try await after.poll("g", "a", epoch: view.epoch, commit: [])
        #expect(places(poll.view).contains("later/0"))
    }

    @Test func `who waits is woken when the assignment changes, and by nothing of others`()
        async throws
    {
        let (groups, backend) = await loaded()
        let view = try await groups.join("g", request("a"))
        let other = try await groups.join("other", request("x"))
        let poll = try await groups.poll("g", "a", epoch: view.epoch, commit: [])
        let wakeup = Wakeup()
        let watch = try groups.watch("g", "a", wakeup)
        _ = try await groups.poll("other", "x", epoch: other.epoch, commit: [])
        #expect(!wakeup.isWoken)
        #expect(try await groups.hasNews(poll) == false)
        _ = try await groups.join("g", request("b"))
        #expect(wakeup.isWoken)
        #expect(try await groups.hasNews(poll))
        await wakeup.wait()
        groups.unwatch("g", "a", watch)
        backend.set("orders", id: 1, partitions: 6)
        #expect(!wakeup.isWoken)
    }

    @Test func `a topic that is created, grows, is deleted and comes anew moves the group`()
        async throws
    {
        let (groups, backend) = await loaded()
        let joined = try await groups.join("g", request("a", ["orders", "later"]))
        backend.set("later", id: 2, partitions: 1)
        var view = try await next(groups, joined)
        #expect(places(view).filter { $0.hasPrefix("later") } == ["later/0"])
        backend.set("later", id: 2, partitions: 3)
        view = try await next(groups, view)
        #expect(places(view).filter { $0.hasPrefix("later") }.count == 3)
        backend.remove("later")
        view = try await next(groups, view)
        #expect(places(view).filter { $0.hasPrefix("later") } == [])
        let epoch = view.epoch
        backend.set("orders", id: 9, partitions: 1)
        // The old topic's partition goes first: a commit names its topic by name only.
        view = try await next(groups, view)
        #expect(places(view) == [])
        view = try await next(groups, view)
        #expect(places(view) == ["orders/0"])
        #expect(view.epoch > epoch)
    }

    private func next(_ groups: GroupCoordinator, _ view: MemberView) async throws -> MemberView {
        try await groups.poll("g", view.memberID, epoch: view.epoch, commit: []).view
    }

    @Test func `a newer poll ends the one that waits`() async throws {
        let (groups, _) = await loaded()
        let view = try await groups.join("g", request("a"))
        let older = try await groups.poll("g", "a", epoch: view.epoch, commit: [])
        let wakeup = Wakeup()
        _ = try groups.watch("g", "a", wakeup)
        let newer = try await groups.poll("g", "a", epoch: view.epoch, commit: [])
        #expect(wakeup.isWoken)
        await #expect(throws: GroupError.supersededPoll("a")) {
            _ = try await groups.hasNews(older)
        }
        groups.end(older)
        #expect(try await groups.hasNews(newer) == false)
    }

    /// Pitfall 32.
    @Test func `a member that was silent too long is gone, and its commit is refused`()
        async throws
    {
        let (groups, _) = await loaded()
        let epochs = try await pair(groups)
        let commit = OffsetCommit(topic: "orders", partition: 0, offset: Offset(5))
        try await groups.commit("g", "a", epoch: epochs.a, [commit])
        for _ in 0..<50 {
            advance(groups, by: 1)
            _ = try await groups.heartbeat("g", "b", epoch: epochs.b)
        }
        let late = OffsetCommit(topic: "orders", partition: 0, offset: Offset(9))
        await #expect(throws: GroupError.unknownMember("a")) {
            try await groups.commit("g", "a", epoch: epochs.a, [late])
        }
        #expect(try await groups.committed("g").map(\.offset) == [Offset(5)])
        let b = try await groups.poll("g", "b", epoch: epochs.b, commit: [])
        #expect(places(b.view).count == 4)
    }

    /// Pitfall 42: nobody was heard while this process did not run.
    @Test func `a pause of the server ends nobody's session`() async throws {
        let (groups, _) = await loaded()
        let epochs = try await pair(groups)
        advance(groups, by: 1)
        time.advance(by: .seconds(600))
        groups.tick()
        #expect(try await groups.heartbeat("g", "a", epoch: epochs.a) == false)
        advance(groups, by: 46)
        await #expect(throws: GroupError.unknownMember("b")) {
            _ = try await groups.heartbeat("g", "b", epoch: epochs.b)
        }
    }

    @Test func `an end of a session that cannot be written is tried again`() async throws {
        let (groups, backend) = await loaded()
        _ = try await groups.join("g", request("a"))
        backend.log.refuse(.storageFull)
        advance(groups, by: 50)
        backend.log.refuse(nil)
        #expect(try await groups.describe("g").members.count == 1)
        advance(groups, by: 2)
        await #expect(throws: GroupError.unknownGroup("g")) {
            _ = try await groups.describe("g")
        }
    }

    /// Pitfall 27: what was committed for the old topic is not the new one's.
    @Test func `a commit for a topic that went away is passed over, one for a foreign one refused`()
        async throws
    {
        let (groups, backend) = await loaded()
        let view = try await groups.join("g", request("a"))
        let commit = OffsetCommit(topic: "orders", partition: 0, offset: Offset(5))
        backend.set("audit", id: 3)
        backend.set("orders", id: 9)
        let foreign = OffsetCommit(topic: "audit", partition: 0, offset: Offset(5))
        await #expect(throws: GroupError.partitionNotAssigned(topic: "audit", partition: 0)) {
            _ = try await groups.poll("g", "a", epoch: view.epoch, commit: [commit, foreign])
        }
        let poll = try await groups.poll("g", "a", epoch: view.epoch, commit: [commit])
        #expect(poll.view.epoch > view.epoch)
        #expect(poll.view.assignment.allSatisfy { $0.committed == nil })
        #expect(try await groups.committed("g") == [])
    }
}

private final class SeededRandomSource: Sendable {
    private let random = Latest<SeededRandom>()

    init() { random.value = SeededRandom(seed: 7) }

    func next() -> UInt64 {
        var next = random.value!
        defer { random.value = next }
        return next.next()
    }
}
