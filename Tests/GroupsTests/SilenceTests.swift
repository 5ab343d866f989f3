import Groups
import TestSupport
import Testing

/// Deadlines, the clock of sessions, and how long a group keeps its offsets.
struct SilenceTests {
    // MARK: - Deadlines

    private func key(_ number: Int) -> Deadlines.Key {
        let member = GroupFixture.member("m\(number / 3)")
        return switch number % 3 {
        case 0: .session(member)
        case 1: .rebalance(member)
        default: .vacancy(GroupFixture.name("g\(number / 3)"))
        }
    }

    /// Against a dictionary that is searched whole.
    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func `what is due is just what was set last and has passed`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var deadlines = Deadlines()
        var model: [Deadlines.Key: Duration] = [:]
        var now = Duration.zero
        for _ in 0..<600 {
            let key = key(random.below(12))
            switch random.below(8) {
            case ..<5:
                let deadline = now + .milliseconds(random.below(40) - 5)
                deadlines.set(key, deadline)
                model[key] = deadline
            case 5:
                deadlines.clear(key)
                model[key] = nil
            default:
                now += .milliseconds(random.below(12))
                let due = deadlines.due(now)
                #expect(Set(due) == Set(model.filter { $0.value <= now }.keys))
                #expect(due.count == Set(due).count)
                model = model.filter { $0.value > now }
            }
            #expect(deadlines[key] == model[key])
            if let first = model.values.min() {
                #expect(deadlines.next.map { $0 <= first } == true)
            }
        }
        now += .seconds(1)
        #expect(Set(deadlines.due(now)) == Set(model.keys))
        #expect(deadlines.next == nil && deadlines.due(now).isEmpty)
    }

    @Test
    func `deadlines that are put off a million times take no more room than keys`() {
        var deadlines = Deadlines()
        for time in 1...1_000_000 { deadlines.set(key(time % 4), .milliseconds(time)) }
        #expect(deadlines.due(.milliseconds(999_996)).isEmpty)
        #expect(deadlines.due(.milliseconds(1_000_000)).count == 4)
    }

    // MARK: - The clock

    /// Pitfall 42: ten minutes, and ten years.
    @Test(arguments: [600, 315_360_000] as [Int64])
    func `a pause counts half a second at most`(seconds: Int64) {
        var clock = SessionClock()
        let start = clock.read(.seconds(1))
        _ = clock.read(.milliseconds(1_100))
        let behind = clock.read(.milliseconds(1_100) + .seconds(seconds))
        #expect(behind - start == .milliseconds(600))
        #expect(clock.read(.milliseconds(1_300) + .seconds(seconds)) - behind == .milliseconds(200))
    }

    @Test
    func `time looked at often enough passes as it does, and never back`() {
        var clock = SessionClock()
        var random = SeededRandom(seed: 5)
        var (now, last) = (Duration.zero, clock.read(.zero))
        for _ in 0..<10_000 {
            let step = Duration.milliseconds(random.below(501))
            now += step
            let read = clock.read(now)
            #expect(read - last == step)
            last = read
            #expect(clock.read(now - .milliseconds(random.below(900))) == last)
        }
    }

    /// Pitfall 42: sessions and rebalances alike, over several pauses.
    @Test
    func `members live through pauses of the server, and not through silence`() throws {
        var group = GroupFixture(partitions: 2)
        var (clock, monotonic) = (SessionClock(), Duration.zero)
        group.now = clock.read(monotonic)
        try group.join("a")
        try group.join("b")
        for _ in 0..<5 {
            monotonic += .seconds(600)
            group.advance(clock.read(monotonic) - group.now)
        }
        #expect(group.group?.members.count == 2)
        group.advance(.seconds(10))
        #expect(group.group == nil)
    }

    // MARK: - Offsets

    private static let hour = Duration.seconds(3600)

    private func withCommit() throws -> GroupFixture {
        var group = GroupFixture(partitions: 2)
        try group.join("a", session: 1_800_000)
        try group.commit("a", GroupFixture.entry(1, 0, 5))
        return group
    }

    /// Eight days in steps of ten minutes.
    private func pass(
        _ group: inout GroupFixture, days: Int = 8, _ each: (inout GroupFixture) throws -> Void
    ) rethrows {
        for _ in 0..<days * 144 {
            group.advance(.seconds(600), step: .seconds(600))
            try each(&group)
        }
    }

    /// Pitfall 41, in each state.
    @Test
    func `offsets of a group whose member only heartbeats are there after eight days`() throws {
        var group = try withCommit()
        pass(&group) { $0.heartbeat("a") }
        #expect(group.committed(1, 0) == 5 && group.group?.isStable == true)
    }

    @Test
    func `offsets of a group that rebalances for eight days are there`() throws {
        var group = try withCommit()
        try pass(&group) {
            try $0.join("b", session: 1_800_000)
            try $0.poll("a")
            #expect($0.group?.isStable == false)
            try $0.leave("b")
            try $0.poll("a")
        }
        #expect(group.committed(1, 0) == 5)
    }

    @Test(arguments: [false, true])
    func `offsets of an empty group are there for seven days, restarts or not`(
        restarts: Bool
    ) throws {
        var group = try withCommit()
        try group.leave("a")
        var hours = 0
        while group.committed(1, 0) != nil, hours < 400 {
            group.advance(Self.hour, step: Self.hour)
            if restarts, hours % 24 == 23 { group.restart() }
            hours += 1
        }
        #expect(hours == 168)
        #expect(!group.shard.state.contains(GroupFixture.group))
    }

    @Test
    func `a commit to an empty group begins its seven days anew`() throws {
        var group = try withCommit()
        try group.leave("a")
        group.advance(Self.hour * 160, step: Self.hour)
        group.apply(
            try group.shard.commit(
                [GroupFixture.entry(1, 1, 7)], to: GroupFixture.group, wall: 1))
        group.advance(Self.hour * 160, step: Self.hour)
        #expect(group.committed(1, 0) == 5)
        group.advance(Self.hour * 8, step: Self.hour)
        #expect(group.committed(1, 0) == nil)
    }
}
