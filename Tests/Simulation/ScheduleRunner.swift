import Synchronization

/// What became of one simulated schedule.
package struct ScheduleOutcome: Sendable {
    /// A hash of all that happened, in order: the same seed gives the same one.
    package var trace: UInt64
    /// The promise that was broken and where; nil where all held.
    package var failure: String?

    package init(trace: UInt64, failure: String?) {
        self.trace = trace
        self.failure = failure
    }
}

/// What became of many.
package struct ScheduleReport: Sendable {
    /// Of the traces of all schedules, whatever the order they ran in.
    package var trace: UInt64 = 0
    package var failures: [(seed: UInt64, reason: String)] = []
}

/// Runs the schedules of the seeds `first ..< first + count`, `threads` at a time. Each is told by
/// its seed alone, so that one that fails can be repeated by itself. Stops after ten failures.
package func runSchedules(
    from first: UInt64, count: Int, threads: Int,
    _ schedule: @escaping @Sendable (UInt64) async -> ScheduleOutcome
) async -> ScheduleReport {
    let progress = Progress()
    await withTaskGroup(of: Void.self) { group in
        for _ in 0..<max(1, threads) {
            group.addTask {
                while let index = progress.next(below: count) {
                    let seed = first &+ UInt64(index)
                    progress.add(await schedule(seed), index, seed)
                }
            }
        }
    }
    return progress.report
}

private final class Progress: Sendable {
    private let state = Mutex((report: ScheduleReport(), next: 0))

    var report: ScheduleReport { state.withLock { $0.report } }

    /// nil where all have begun, or enough have failed.
    func next(below count: Int) -> Int? {
        state.withLock { state in
            guard state.next < count, state.report.failures.count < 10 else { return nil }
            defer { state.next += 1 }
            return state.next
        }
    }

    func add(_ outcome: ScheduleOutcome, _ index: Int, _ seed: UInt64) {
        state.withLock { state in
            state.report.trace ^= outcome.trace &* (2 &* UInt64(index) &+ 1)
            if let failure = outcome.failure { state.report.failures.append((seed, failure)) }
        }
    }
}
