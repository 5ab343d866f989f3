import Groups

/// What must be so, kept beside the coordinator from requests and answers alone.
struct GroupModel {
    /// Why records were appended.
    enum Cause {
        case request(GroupRequest)
        case silence
        case topics
        case committed([OffsetKey: Int64])
        case deletedGroup(GroupID)
        case deletedTopic(TopicID)
    }

    private struct Accepted: Hashable {
        var key: MemberKey
        var processed: GroupRequest.Processed
    }

    /// When a member last spoke: by time awake, and by the fastest clock the coordinator may have.
    private struct Heard {
        var awakeAt: Duration
        var at: Duration
        var polledAt: Duration
    }

    private(set) var offsets: [OffsetKey: Int64] = [:]
    private var journal: [(batch: Int, key: OffsetKey, offset: Int64?)] = []
    private var epochs: [(batch: Int, group: GroupID, epoch: Int64)] = []
    /// What each join gave: whoever speaks with an older epoch is another process.
    private var joins: [(batch: Int, key: MemberKey, epoch: Int64)] = []
    private var highest: [GroupID: Int64] = [:]
    private var heard: [MemberKey: Heard] = [:]
    /// When a group without members was last left or committed to.
    private var emptied: [(batch: Int, group: GroupID, at: Duration)] = []
    private var accepted: Set<Accepted> = []
    /// By the number they were first sent under.
    private var acceptedPolls: Set<Int> = []
    /// Of each member since its last poll: that overtakes them, and may let go what they name.
    private var acceptedCommits: [MemberKey: Set<Int>] = [:]
    /// Time without the pauses.
    var awake = Duration.zero
    private var paused = Duration.zero
    private var fastest: Duration { awake + paused }

    // MARK: - Records

    /// Judges records before they are applied.
    mutating func check(
        _ records: [GroupRecord], batch: Int, _ cause: Cause, before state: GroupState
    ) throws(Broken) {
        for record in records {
            switch record {
            case .offsetCommitted(let key, let committed):
                try check(key, committed.offset, as: committed.topicName, cause, state)
                offsets[key] = committed.offset
                journal.append((batch, key, committed.offset))
                emptied.append((batch, key.group, fastest))
            case .offsetRemoved(let key):
                try checkRemoval(key, cause, state)
                offsets[key] = nil
                journal.append((batch, key, nil))
            case .assignment(let key, let assignment?):
                let before = state.groups[key.group]?.assignments[key.member]
                if before?.epoch == assignment.epoch { continue }
                guard assignment.epoch > highest[key.group] ?? 0 else {
                    throw Broken(
                        "\(key.group.name): epoch \(assignment.epoch) was given out before")
                }
                highest[key.group] = assignment.epoch
                epochs.append((batch, key.group, assignment.epoch))
                if case .request(let request) = cause, case .join = request.kind {
                    joins.append((batch, key, assignment.epoch))
                }
            case .member(let key, nil):
                if case .silence = cause { try checkSilence(of: key, state) }
                heard[key] = nil
                emptied.append((batch, key.group, fastest))
            case .assignment, .member, .target, .group, .epochFloor: break
            }
        }
    }

    private func check(
        _ key: OffsetKey, _ offset: Int64, as topicName: String, _ cause: Cause,
        _ state: GroupState
    ) throws(Broken) {
        switch cause {
        case .request(let request):
            let place = TopicPartition(key.topic, key.partition)
            let assignment = state.groups[key.group]?.assignments[request.key.member]
            guard request.key.group == key.group,
                request.names(place, offset, as: topicName)
            else { throw Broken("an offset moved that the request does not name") }
            guard let assignment, assignment.epoch == request.epoch else {
                throw Broken("a commit of epoch \(request.epoch ?? 0) was accepted after its time")
            }
            guard assignment.held.contains(place) else {
                throw Broken("a commit was accepted for a partition the member does not hold")
            }
        case .committed(let entries):
            guard entries[key] == offset else { throw Broken("an offset moved unasked") }
        case .silence, .topics, .deletedGroup, .deletedTopic:
            throw Broken("an offset moved without a request")
        }
    }

    private func checkRemoval(
        _ key: OffsetKey, _ cause: Cause, _ state: GroupState
    ) throws(Broken) {
        switch cause {
        case .deletedGroup(key.group), .deletedTopic(key.topic): return
        case .silence:
            guard let since = emptied.last(where: { $0.group == key.group })?.at,
                !state.hasMembers(key.group),
                fastest - since >= .milliseconds(Limits.offsetRetention)
            else { throw Broken("an offset expired before its time") }
        default: throw Broken("an offset was removed without a request")
        }
    }

    // MARK: - Silence

    mutating func hear(_ key: MemberKey, isPoll: Bool) {
        heard[key] = Heard(
            awakeAt: awake, at: fastest,
            polledAt: isPoll ? fastest : heard[key]?.polledAt ?? fastest)
    }

    /// Of a pause no more than this may count as silence.
    mutating func pause() { paused += SessionClock.longestGap }

    private func checkSilence(of key: MemberKey, _ state: GroupState) throws(Broken) {
        guard let heard = heard[key], let member = state.groups[key.group]?.members[key.member]
        else { throw Broken("a member was removed that is not there") }
        let isSilent = fastest - heard.at >= .milliseconds(member.sessionTimeout)
        let isStuck = fastest - heard.polledAt >= .milliseconds(member.rebalanceTimeout)
        guard isSilent || isStuck else {
            throw Broken("\(key.member.name) was removed in the midst of its session")
        }
    }

    /// Whoever is silent is gone a second after its session.
    func checkGone(_ state: GroupState) throws(Broken) {
        for (key, heard) in heard {
            guard let member = state.groups[key.group]?.members[key.member] else { continue }
            let session = Duration.milliseconds(member.sessionTimeout)
            guard awake - heard.awakeAt <= session + .seconds(1) else {
                throw Broken("\(key.member.name) is silent and still a member")
            }
        }
    }

    // MARK: - Answers

    /// Judges an accepted request: what it commits is stored, or was stored when it let go.
    mutating func accept(
        _ request: GroupRequest, before: MemberAssignment?, after state: GroupState,
        isThere: (GroupRequest.Processed) -> Bool
    ) throws(Broken) {
        if let epoch = request.epoch, epoch != before?.epoch {
            throw Broken("a request of epoch \(epoch) was accepted after its time")
        }
        switch request.kind {
        case .poll:
            acceptedPolls.insert(request.origin)
            acceptedCommits[request.key] = nil
        case .commit: acceptedCommits[request.key, default: []].insert(request.origin)
        case .join, .heartbeat, .leave: break
        }
        for processed in request.processed where isThere(processed) {
            let mark = Accepted(key: request.key, processed: processed)
            let place = processed.place
            let key = OffsetKey(
                group: request.key.group, topic: place.topic, partition: place.partition)
            if before?.held.contains(place) == true {
                guard state.offsets.committed(key)?.offset == processed.offset else {
                    throw Broken("a commit was accepted and is lost")
                }
            } else if !accepted.contains(mark), !request.isLie {
                throw Broken("a commit was answered for a partition the member does not hold")
            }
            accepted.insert(mark)
        }
        guard case .poll = request.kind else { return }
        // What stands committed for what it lets go it may name again.
        for place in before?.revoking ?? [] {
            let key = OffsetKey(
                group: request.key.group, topic: place.topic, partition: place.partition)
            guard let committed = state.offsets.committed(key) else { continue }
            let processed = GroupRequest.Processed(
                place: place, topicName: committed.topicName, offset: committed.offset)
            accepted.insert(Accepted(key: request.key, processed: processed))
        }
    }

    func refuse(
        _ request: GroupRequest, _ refusal: GroupRefusal, before: MemberAssignment?
    ) throws(Broken) {
        if case .fencedMemberEpoch = refusal, let epoch = request.epoch,
            let joined = joins.last(where: { $0.key == request.key })?.epoch, epoch < joined
        {
            throw Broken("a process is told the epoch of the one that took its place")
        }
        let wasAccepted =
            acceptedPolls.contains(request.origin)
            || acceptedCommits[request.key]?.contains(request.origin) == true
        guard wasAccepted, before?.epoch == request.epoch else { return }
        throw Broken("a request was sent again and refused: \(request)")
    }

    // MARK: - Whole states

    /// What a crash left: the batches up to `kept`.
    mutating func restart(keeping kept: Int, _ state: GroupState) throws(Broken) {
        journal.removeAll { $0.batch > kept }
        offsets = [:]
        for (_, key, offset) in journal { offsets[key] = offset }
        epochs.removeAll { $0.batch > kept }
        joins.removeAll { $0.batch > kept }
        emptied.removeAll { $0.batch > kept }
        highest = [:]
        for (_, group, epoch) in epochs { highest[group] = epoch }
        heard = [:]
        for (id, group) in state.groups {
            for member in group.members.keys { hear(MemberKey(id, member), isPoll: true) }
        }
        try check(state)
    }

    /// Each offset is what was last committed; nobody holds what another holds.
    func check(_ state: GroupState) throws(Broken) {
        var count = 0
        for id in state.offsets.groups {
            for (key, committed) in state.offsets.committed(id) {
                count += 1
                guard offsets[key] == committed.offset else {
                    throw Broken("a committed offset is another")
                }
            }
        }
        guard count == offsets.count else { throw Broken("a committed offset is lost") }
        for id in state.groups.keys { try checkOwners(state.groups[id]) }
    }

    func checkOwners(_ group: Group?) throws(Broken) {
        guard let group else { return }
        var holders: [TopicPartition: MemberID] = [:]
        for (member, assignment) in group.assignments {
            for place in assignment.held {
                if let other = holders.updateValue(member, forKey: place) {
                    throw Broken("\(other.name) and \(member.name) both hold a partition")
                }
            }
        }
        guard group.owners == holders else { throw Broken("owners are not who holds") }
    }
}
