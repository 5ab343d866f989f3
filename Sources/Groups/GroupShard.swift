/// The coordinator of one shard's groups, as a value: it decides, the shell acts.
///
/// A decision (`join`, `poll`, `commit`, …) only looks, and returns records. The shell appends them
/// to the shard's log and then hands them to `apply`; nothing else changes what is durable. `now`
/// is the session clock (`SessionClock`), `wall` milliseconds since 1970, for people only.
package struct GroupShard: Sendable {
    package private(set) var state = GroupState()
    /// Who must be heard of until when. Not durable: a restart gives everybody a whole session.
    private var deadlines = Deadlines()

    package init() {}

    // MARK: - Replay

    /// Takes in what the log says.
    package mutating func replay(_ record: GroupRecord) { state.apply(record) }

    /// The log is replayed: from now on silence counts.
    package mutating func start(now: Duration) {
        deadlines = Deadlines()
        for (id, group) in state.groups {
            for member in group.members.keys { watch(MemberKey(id, member), now) }
            watchVacancy(id, now)
        }
        for id in state.offsets.groups { watchVacancy(id, now) }
    }

    // MARK: - Apply

    /// Takes in what was appended. Returns the members whose poll, if it waits, should look again.
    package mutating func apply(_ records: [GroupRecord], now: Duration) -> [MemberKey] {
        var woken: [MemberKey] = []
        for record in records { woken += state.apply(record) }
        for record in records {
            switch record {
            case .member(let key, _):
                watch(key, now)
                watchVacancy(key.group, now)
            case .target(let key, _), .assignment(let key, _): watch(key, now)
            case .group(let group, _): watchVacancy(group, now)
            case .offsetCommitted(let key, _):
                // Its age is counted from the last commit.
                deadlines.clear(.vacancy(key.group))
                watchVacancy(key.group, now)
            case .offsetRemoved(let key): watchVacancy(key.group, now)
            case .epochFloor: break
            }
        }
        for key in woken { watch(key, now) }
        return woken
    }

    // MARK: - Silence

    /// The member was heard of. A poll also shows that it takes part in the rebalance.
    package mutating func touch(_ key: MemberKey, isPoll: Bool, now: Duration) {
        guard let group = state.groups[key.group], let member = group.members[key.member] else {
            return
        }
        deadlines.set(.session(key), now + .milliseconds(member.sessionTimeout))
        if isPoll, group.mustPoll(key.member) {
            deadlines.set(.rebalance(key), now + .milliseconds(member.rebalanceTimeout))
        }
    }

    /// When `expire` has something to do next, as far as is known.
    package var nextDeadline: Duration? { deadlines.next }

    /// Groups with members whose time has passed, or that have been empty for a while. Each is to
    /// be handed to `expire`, and to `postpone` where its records could not be appended. Who is
    /// connected is not silent.
    package mutating func due(
        now: Duration, isConnected: (MemberKey) -> Bool = { _ in false }
    ) -> [Due] {
        var found: [GroupID: Due] = [:]
        for key in deadlines.due(now) {
            switch key {
            case .session(let key) where isConnected(key): touch(key, isPoll: false, now: now)
            case .session(let member), .rebalance(let member):
                found[member.group, default: Due(member.group)].keys.append(key)
            case .vacancy(let group): found[group, default: Due(group)].keys.append(key)
            }
        }
        return found.values.sorted { $0.group.name < $1.group.name }
    }

    /// A group and its members whose time has passed; none where the group itself is empty.
    package struct Due: Sendable {
        package let group: GroupID
        /// The deadlines that have passed.
        fileprivate var keys: [Deadlines.Key] = []

        fileprivate init(_ group: GroupID) { self.group = group }

        package var members: [MemberID] {
            Set(
                keys.compactMap { key in
                    switch key {
                    case .session(let key), .rebalance(let key): key.member
                    case .vacancy: nil
                    }
                }
            ).sorted()
        }
    }

    package mutating func postpone(_ due: Due, until retry: Duration) {
        for key in due.keys { deadlines.set(key, retry) }
    }

    private mutating func watch(_ key: MemberKey, _ now: Duration) {
        guard let group = state.groups[key.group], let member = group.members[key.member] else {
            deadlines.clear(.session(key))
            deadlines.clear(.rebalance(key))
            return
        }
        if deadlines[.session(key)] == nil {
            deadlines.set(.session(key), now + .milliseconds(member.sessionTimeout))
        }
        if !group.mustPoll(key.member) {
            deadlines.clear(.rebalance(key))
        } else if deadlines[.rebalance(key)] == nil {
            deadlines.set(.rebalance(key), now + .milliseconds(member.rebalanceTimeout))
        }
    }

    /// An empty group's age is noted every now and then, and ends it at last.
    private mutating func watchVacancy(_ group: GroupID, _ now: Duration) {
        let isEmpty =
            !state.hasMembers(group)
            && (state.groups[group] != nil || state.offsets.contains(group))
        if !isEmpty {
            deadlines.clear(.vacancy(group))
        } else if deadlines[.vacancy(group)] == nil {
            let left = Limits.offsetRetention - emptyAge(group)
            let wait = min(left, Limits.emptyAgeInterval)
            deadlines.set(.vacancy(group), now + .milliseconds(wait))
        }
    }

    func emptyAge(_ group: GroupID) -> Int64 { state.groups[group]?.metadata?.emptyAge ?? 0 }
}
