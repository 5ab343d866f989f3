import Groups
import Platform

/// Polls and streams that wait for a change of their member's assignment.
struct MemberWatches {
    private var wakeups: [MemberKey: [UInt64: Wakeup]] = [:]
    /// The newest poll of each member that has one under way.
    private var polls: [MemberKey: UInt64] = [:]
    private var lastNumber: UInt64 = 0

    /// A poll begins: it is now the member's only one, and whichever waits will see that.
    mutating func beginPoll(_ key: MemberKey) -> UInt64 {
        lastNumber += 1
        let hadOne = polls.updateValue(lastNumber, forKey: key) != nil
        if hadOne { wake(key) }
        return lastNumber
    }

    mutating func endPoll(_ key: MemberKey, _ number: UInt64) {
        if polls[key] == number { polls[key] = nil }
    }

    func isSuperseded(_ key: MemberKey, _ number: UInt64) -> Bool { polls[key] != number }

    mutating func add(_ key: MemberKey, _ wakeup: Wakeup) -> UInt64 {
        lastNumber += 1
        wakeups[key, default: [:]][lastNumber] = wakeup
        return lastNumber
    }

    mutating func remove(_ key: MemberKey, _ number: UInt64) {
        wakeups[key]?[number] = nil
        if wakeups[key]?.isEmpty == true { wakeups[key] = nil }
    }

    /// Whether a client is waited for or written to. One that reads slowly may keep its stream from
    /// looking here for longer than a session; the server's own limits end what is stuck.
    func contains(_ key: MemberKey) -> Bool { wakeups[key] != nil }

    func wake(_ key: MemberKey) {
        for wakeup in (wakeups[key] ?? [:]).values { wakeup.wake() }
    }
}
