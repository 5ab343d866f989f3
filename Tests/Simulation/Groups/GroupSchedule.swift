import Groups
import TestSupport

/// One schedule: a coordinator, its topics, its network and its clients, all driven by one seed.
///
/// Requests arrive late, twice, in another order or never; an answer leaves when all it shows is
/// durable, and may be lost. The coordinator crashes between any two records that are not yet
/// durable, its process is stopped and goes on, the wall clock jumps, topics come, grow and go.
package struct GroupSchedule {
    static let groups = ["g0", "g1"].compactMap { GroupID($0) }
    static let topicNames = ["t0", "t1", "t2"]

    var random: SeededRandom
    var server: SimulatedCoordinator
    var model = GroupModel()
    var consumers: [SimulatedConsumer] = []
    var topics: [String: TopicShape] = [:]
    /// Groups that have not looked at the changed topics yet.
    var outdated: Set<GroupID> = []
    /// Sent, and not arrived.
    var requests: [GroupRequest] = []
    /// Decided, and not yet told.
    var answers: [GroupAnswer] = []
    var lastRequest = 0
    /// The epoch of each member's last join: whoever has an older one is fenced by it.
    var joined: [MemberKey: Int64] = [:]
    var trace = Trace()

    private var topicCount: UInt64 = 0
    private var clock = SessionClock()
    private var monotonic = Duration.zero
    private var sessionNow = Duration.zero
    /// Session time that was passed over without looking at the clock.
    private var skipped = Duration.zero
    private var wall: Int64 = 1_700_000_000_000

    private init(seed: UInt64, _ fault: PlantedFault?) {

        random = SeededRandom(seed: seed)
        _ = clock.read(.zero)
        server = SimulatedCoordinator(fault, now: .zero)
    }

    /// Runs the schedule of a seed; with a fault planted where the simulator itself is tried.
    package static func run(seed: UInt64, planted fault: PlantedFault? = nil) -> ScheduleOutcome {
        var schedule = GroupSchedule(seed: seed, fault)
        do throws(Broken) {
            try schedule.run()
            return ScheduleOutcome(trace: schedule.trace.hash, failure: nil)
        } catch { return ScheduleOutcome(trace: schedule.trace.hash, failure: error.reason) }
    }

    private mutating func run() throws(Broken) {
        for name in Self.topicNames where random.below(4) > 0 { try createTopic(name) }
        for index in 0..<2 + random.below(5) { consumers.append(makeConsumer(index)) }
        for _ in 0..<40 + random.below(80) {
            try step()
            try checkBeliefs()
        }
        try settle()
        try model.check(server.shard.state)
        try server.checkReplay(droppingEnded: random.below(2) == 0)
    }

    var now: Duration { sessionNow + skipped }

    // MARK: - Steps

    private mutating func step() throws(Broken) {
        let die = random.below(100)
        trace.add(UInt64(die))
        switch die {
        case ..<33: act(random.below(consumers.count))
        case ..<56: try arrive()
        case ..<78: try tell()
        case ..<84: server.sync()
        case ..<90: try advance(.milliseconds(1 + random.below(700)))
        case 90: try advance(.milliseconds(random.below(12_000)))
        case 91: pauseProcess()
        case 92: wall += (Int64(random.below(2)) * 2 - 1) * 315_000_000_000
        case 93: try restart()
        case 94, 95: try changeTopic(Self.topicNames[random.below(3)])
        case 96:
            server.compact(
                through: server.durable - random.below(5), droppingEnded: random.below(2) == 0)
        case 97: try administer(Self.groups[random.below(2)])
        case 98 where random.below(20) == 0: try idle(.seconds((1 + random.below(9)) * 86_400))
        default: lie()
        }
    }

    /// Some request that was sent reaches the coordinator; its copy may come once more.
    private mutating func arrive() throws(Broken) {
        guard !requests.isEmpty else { return }
        let index = random.below(requests.count)
        let request = requests[index]
        if random.below(8) > 0 { requests.remove(at: index) }
        let comesAgain = letsGo(request) && random.below(2) == 0
        if random.below(20) > 0 { try handle(request) }
        if comesAgain { try handle(request) }
    }

    /// Whether it is the word that partitions are given back: what that says twice is worth a look.
    private func letsGo(_ request: GroupRequest) -> Bool {
        guard case .poll(let epoch, _) = request.kind,
            let assignment = server.shard.state.groups[request.key.group]?
                .assignments[request.key.member]
        else { return false }
        return assignment.epoch == epoch
            && !(assignment.revoking.isEmpty && assignment.released.isEmpty)
    }

    private mutating func tell() throws(Broken) {
        if random.below(2) == 0 { server.sync() }
        // In the order of their batches, so those that may leave come first.
        let count = answers.firstIndex { $0.batch > server.durable } ?? answers.count
        guard count > 0 else { return }
        let answer = answers.remove(at: random.below(count))
        guard random.below(6) > 0 else { return }
        let index = answer.request.client
        consumers[index].receive(answer)
        if case .assigned(let epoch, _) = answer.outcome, epoch < joined[answer.request.key] ?? 0 {
            consumers[index].isFenced = true
        }
    }

    // MARK: - The coordinator

    mutating func handle(_ request: GroupRequest) throws(Broken) {
        let key = request.key
        let before = server.shard.state.groups[key.group]?.assignments[key.member]
        let records: [GroupRecord]
        do throws(GroupRefusal) {
            records = try decide(request, before)
        } catch {
            var error = error
            if server.fault == .tellsTheFenced, error == .fencedInstance {
                error = .fencedMemberEpoch(current: before?.epoch ?? 0)
            }
            try model.refuse(request, error, before: before)
            answer(request, outcome(of: error))
            return
        }
        try apply(records, .request(request))
        let isPoll =
            switch request.kind {
            case .join, .poll: true
            case .heartbeat, .commit, .leave: false
            }
        if server.shard.state.groups[key.group]?.members[key.member] != nil {
            let now = now
            server.withShard { $0.touch(key, isPoll: isPoll, now: now) }
            model.hear(key, isPoll: isPoll)
        }
        if isPoll { fenceOthers(request) }
        try model.accept(request, before: before, after: server.shard.state) {
            topics[$0.topicName]?.topic == $0.place.topic
        }
        answer(request, isPoll ? assigned(key) : .done)
    }

    private func decide(
        _ request: GroupRequest, _ before: MemberAssignment?
    ) throws(GroupRefusal) -> [GroupRecord] {
        let (shard, key) = (server.shard, request.key)
        let topics = topics
        func epoch(_ epoch: Int64) -> Int64 {
            server.fault == .fencesNobody ? before?.epoch ?? epoch : epoch
        }
        switch request.kind {
        case .join(let metadata):
            return try shard.join(key, metadata, wall: wall) { topics[$0] }
        case .poll(let known, let processed):
            return try shard.poll(
                key, epoch: epoch(known), commit: processed.map(entry), wall: wall)
        case .heartbeat(let known):
            try shard.check(key, epoch: epoch(known))
            return []
        case .commit(let known, let processed):
            return try shard.commit(
                processed.map(entry), by: key, epoch: epoch(known), wall: wall)
        case .leave: return try shard.leave(key, wall: wall) { topics[$0] }
        }
    }

    /// A commit names its topic by name, so it means whichever has that name now.
    private func entry(_ processed: GroupRequest.Processed) -> OffsetEntry {
        OffsetEntry(
            topicName: processed.topicName, topic: topics[processed.topicName]?.topic,
            partition: processed.place.partition, offset: processed.offset)
    }

    private func assigned(_ key: MemberKey) -> GroupAnswer.Outcome {
        let group = server.shard.state.groups[key.group]
        guard let group, let assignment = group.assignments[key.member] else { return .unknown }
        var owned: [TopicPartition: String] = [:]
        for place in assignment.owned { owned[place] = group.topicName(place.topic) }
        return .assigned(epoch: assignment.epoch, owned)
    }

    private func outcome(of refusal: GroupRefusal) -> GroupAnswer.Outcome {
        switch refusal {
        case .fencedMemberEpoch(let current): .fenced(current: current)
        case .unknownMember: .unknown
        case .fencedInstance: .replaced
        default: .refused
        }
    }

    private mutating func answer(_ request: GroupRequest, _ outcome: GroupAnswer.Outcome) {
        trace.add(UInt64(request.number))
        if case .fenced(let current) = outcome { trace.add(UInt64(bitPattern: current)) }
        answers.append(GroupAnswer(request: request, outcome: outcome, batch: server.last))
    }

    /// Whoever spoke last speaks for the member.
    private mutating func fenceOthers(_ request: GroupRequest) {
        for index in consumers.indices where consumers[index].key == request.key {
            if index == request.client, consumers[index].phase == .waiting(request.number) {
                consumers[index].isFenced = false
            } else if index != request.client {
                consumers[index].isFenced = true
            } else if case .join = request.kind {
                consumers[index].isFenced = true
            } else if request.isLie {
                // It spoke for itself, and does not work by what it said.
                consumers[index].isFenced = true
            }
        }
        if case .join = request.kind {
            joined[request.key] =
                server.shard.state.groups[request.key.group]?.assignments[request.key.member]?.epoch
        }
    }

    /// Appends and applies, judged before and after.
    mutating func apply(_ records: [GroupRecord], _ cause: GroupModel.Cause) throws(Broken) {
        guard !records.isEmpty else { return }
        try model.check(
            records, batch: server.last + 1, cause, before: server.shard.state)
        let groups = Set(records.compactMap(\.group))
        let before = waiting(groups)
        let (woken, hash) = try server.append(records, now: now)
        trace.add(hash)
        for key in waiting(groups).subtracting(before) where !woken.contains(key) {
            throw Broken("\(key.member.name) has news and is not woken")
        }
        for group in groups { try model.checkOwners(server.shard.state.groups[group]) }
        for index in consumers.indices {
            let key = consumers[index].key
            guard groups.contains(key.group) else { continue }
            if server.shard.state.groups[key.group]?.members[key.member] == nil {
                consumers[index].isFenced = true
            }
        }
    }

    /// Members whose next poll brings something new.
    private func waiting(_ groups: Set<GroupID>) -> Set<MemberKey> {
        var keys: Set<MemberKey> = []
        for id in groups {
            guard let group = server.shard.state.groups[id] else { continue }
            for member in group.members.keys where group.hasNews(member) {
                keys.insert(MemberKey(id, member))
            }
        }
        return keys
    }

    // MARK: - Time

    mutating func advance(_ span: Duration) throws(Broken) {
        var left = span
        while left > .zero {
            let part = min(left, .milliseconds(200))
            left -= part
            monotonic += part
            model.awake += part
            sessionNow = clock.read(monotonic)
            try tick()
        }
    }

    /// Days in which nothing comes.
    private mutating func idle(_ span: Duration) throws(Broken) {
        requests = []
        var left = span
        while left > .zero {
            let next = server.shard.nextDeadline.map { max($0 - now, .milliseconds(100)) }
            let part = min(left, next ?? left)
            left -= part
            skipped += part
            model.awake += part
            try tick()
        }
    }

    private mutating func tick() throws(Broken) {
        try refresh()
        let now = now
        guard let next = server.shard.nextDeadline, next <= now else { return }
        var found: [GroupShard.Due] = []
        server.withShard { found = $0.due(now: now) }
        let topics = topics
        for due in found {
            if server.fault == .waitsForEver {
                server.withShard { $0.postpone(due, until: now + .seconds(3600)) }
                continue
            }
            try apply(server.shard.expire(due, wall: wall) { topics[$0] }, .silence)
        }
        try model.checkGone(server.shard.state)
    }

    /// The process is stopped, and goes on.
    private mutating func pauseProcess() {
        monotonic += .milliseconds(1 + random.below(1_000_000))
        sessionNow = clock.read(monotonic)
        model.pause()
    }

    private mutating func restart() throws(Broken) {
        let kept = server.durable + random.below(server.last - server.durable + 1)
        answers = []
        try server.restart(keeping: kept, now: now)
        try model.restart(keeping: kept, server.shard.state)
        outdated = Set(server.shard.state.groups.keys)
        try refresh()
    }

    // MARK: - Topics and administrators

    private mutating func createTopic(_ name: String) throws(Broken) {
        topicCount += 1
        topics[name] = TopicShape(
            TopicID(high: topicCount, low: 7), partitionCount: Int32(1 + random.below(4)))
        outdated.formUnion(server.shard.groups(subscribedTo: name))
    }

    private mutating func changeTopic(_ name: String) throws(Broken) {
        if let shape = topics[name] {
            if random.below(2) == 0, shape.partitionCount < 8 {
                topics[name]?.partitionCount += Int32(1 + random.below(2))
            } else {
                topics[name] = nil
                if random.below(2) == 0 { try createTopic(name) }
                try apply(server.shard.forget(shape.topic), .deletedTopic(shape.topic))
            }
        } else {
            try createTopic(name)
        }
        outdated.formUnion(server.shard.groups(subscribedTo: name))
        if random.below(4) > 0 { try refresh() }
    }

    private mutating func refresh() throws(Broken) {
        let topics = topics
        for group in outdated.sorted(by: { $0.name < $1.name }) {
            try apply(server.shard.refresh(group, wall: wall) { topics[$0] }, .topics)
        }
        outdated = []
    }

    /// Deletes a group, or moves its offsets, where nobody is in it.
    private mutating func administer(_ group: GroupID) throws(Broken) {
        let records: [GroupRecord]
        var named: [OffsetKey: Int64] = [:]
        let isDelete = random.below(3) == 0
        let name = Self.topicNames[random.below(3)]
        let offset = Int64(random.below(30)) - 1
        let partition = Int32(random.below(4)) - 1
        let topic = topics[name]?.topic
        if let topic {
            named[OffsetKey(group: group, topic: topic, partition: partition)] = offset
        }
        do throws(GroupRefusal) {
            if isDelete {
                records = try server.shard.delete(group)
            } else {
                let entry = OffsetEntry(
                    topicName: name, topic: topic, partition: partition, offset: offset)
                records = try server.shard.commit([entry], to: group, wall: wall)
            }
        } catch { return }
        try apply(records, isDelete ? .deletedGroup(group) : .committed(named))
    }

    // MARK: - What the clients believe

    /// A client works on nothing that its member does not hold, unless it is fenced: so no two
    /// clients work on one partition.
    func checkBeliefs() throws(Broken) {
        for consumer in consumers where !consumer.isFenced && !consumer.working.isEmpty {
            let group = server.shard.state.groups[consumer.key.group]
            guard let held = group?.assignments[consumer.key.member]?.held,
                held.isSuperset(of: consumer.working)
            else { throw Broken("client \(consumer.index) works on what it does not hold") }
        }
    }
}

extension GroupRecord {
    fileprivate var group: GroupID? {
        switch self {
        case .offsetCommitted(let key, _), .offsetRemoved(let key): key.group
        case .group(let group, _): group
        case .member(let key, _): key.group
        case .target(let key, _): key.group
        case .assignment(let key, _): key.group
        case .epochFloor: nil
        }
    }
}
