import Groups
import TestSupport

/// A decision made wrong on purpose, to show that the simulator finds it.
package enum PlantedFault: CaseIterable, Sendable {
    /// What is taken from a member is free before it has confirmed that.
    case grantsBeforeConfirmation
    /// Whatever epoch a request brings, it is taken for the member's own.
    case fencesNobody
    /// Who is fenced by a join is told the epoch of that, as after a lost answer.
    case tellsTheFenced
    /// A poll sent again finds its commit refused.
    case forgetsReleased
    /// A group that comes again begins its epochs anew.
    case forgetsEpochFloor
    /// Who owes a poll is waited for without end.
    case waitsForEver
    /// A commit is answered, and not written.
    case losesCommits
}

/// The shell around `GroupShard`, over a log in memory: decides, appends, applies; loses on a crash
/// what was not durable.
struct SimulatedCoordinator {
    /// The records of one decision: in the log all or none.
    struct Batch {
        var number: Int
        var entries: [(key: [UInt8], record: GroupRecord)]
    }

    private(set) var shard = GroupShard()
    private var log: [Batch] = []
    /// Number of the last batch.
    private(set) var last = 0
    /// Number of the last batch that a crash does not take back.
    private(set) var durable = 0
    let fault: PlantedFault?

    init(_ fault: PlantedFault?, now: Duration) {
        self.fault = fault
        shard.start(now: now)
    }

    mutating func withShard(_ body: (inout GroupShard) -> Void) { body(&shard) }

    // MARK: - Log

    /// Returns the members whose polls are woken, and what the records add to the trace.
    mutating func append(
        _ decided: [GroupRecord], now: Duration
    ) throws(Broken) -> (woken: [MemberKey], hash: UInt64) {
        let records = planted(decided)
        guard !records.isEmpty else { return ([], 0) }
        var trace = Trace()
        var entries: [(key: [UInt8], record: GroupRecord)] = []
        for record in records {
            let (key, value) = (record.encodedKey, record.encodedValue)
            guard GroupRecord(key: key, value: value) == record else {
                throw Broken("a record is not read back as it was written: \(record)")
            }
            trace.add(key)
            trace.add(value ?? [])
            entries.append((key, record))
        }
        last += 1
        log.append(Batch(number: last, entries: entries))
        return (shard.apply(records, now: now), trace.hash)
    }

    private func planted(_ records: [GroupRecord]) -> [GroupRecord] {
        switch fault {
        case nil, .fencesNobody, .tellsTheFenced, .waitsForEver: return records
        case .forgetsEpochFloor:
            return records.filter { if case .epochFloor = $0 { false } else { true } }
        case .losesCommits:
            return records.filter { if case .offsetCommitted = $0 { false } else { true } }
        case .grantsBeforeConfirmation, .forgetsReleased:
            return records.map { record in
                guard case .assignment(let key, var assignment?) = record else { return record }
                if fault == .forgetsReleased {
                    assignment.released = [:]
                } else {
                    assignment.revoking = []
                }
                return .assignment(key, assignment)
            }
        }
    }

    mutating func sync() { durable = last }

    /// A crash keeps the batches up to one from `durable` on.
    mutating func restart(keeping kept: Int, now: Duration) throws(Broken) {
        log.removeAll { $0.number > kept }
        (last, durable) = (kept, kept)
        shard = GroupShard()
        for batch in log { for entry in batch.entries { shard.replay(entry.record) } }
        shard.start(now: now)
    }

    /// Of the durable records up to some batch only the last of each key stays, where it was.
    mutating func compact(through number: Int, droppingEnded: Bool) {
        guard number <= durable else { return }
        let end = log.firstIndex { $0.number > number } ?? log.count
        var latest: [[UInt8]: Int] = [:]
        for batch in log[..<end] { for entry in batch.entries { latest[entry.key] = batch.number } }
        for index in log.indices[..<end] {
            let number = log[index].number
            log[index].entries.removeAll { entry in
                let isEnded = droppingEnded && entry.record.encodedValue == nil
                return latest[entry.key] != number || isEnded
            }
        }
        log.removeAll { $0.entries.isEmpty }
    }

    /// What the log says is what is there: as it stands, and compacted.
    mutating func checkReplay(droppingEnded: Bool) throws(Broken) {
        let live = shard.state
        try checkLog(live, "the log")
        sync()
        compact(through: last, droppingEnded: droppingEnded)
        try checkLog(live, "the compacted log")
    }

    private func checkLog(_ live: GroupState, _ what: String) throws(Broken) {
        var state = GroupState()
        for batch in log { for entry in batch.entries { state.apply(entry.record) } }
        guard state == live else { throw Broken("the state is not what \(what) says") }
    }
}
