import Platform
import Synchronization

/// Runs tasks on the thread that asks, in the order they become ready, and the workers' jobs when no
/// task is: so that what happens depends on nothing but the program.
final class SimulatedExecutor: TaskExecutor {
    private let jobs = Mutex<[UnownedJob]>([])

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
    }

    /// What `body` returns; nil where it waits for something that never comes.
    func run(
        _ workers: WorkerPool, _ body: @escaping @Sendable () async -> ScheduleOutcome
    ) -> ScheduleOutcome? {
        let box = Box()
        Task(executorPreference: self) { [box] in
            let outcome = await body()
            box.result.withLock { $0 = outcome }
        }
        while true {
            runReady()
            if let outcome = box.result.withLock({ $0 }) { return outcome }
            workers.runPending()
            if jobs.withLock({ $0.isEmpty }) { return box.result.withLock { $0 } }
        }
    }

    private func runReady() {
        while let job = jobs.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) {
            job.runSynchronously(on: asUnownedTaskExecutor())
        }
    }

    private final class Box: Sendable {
        let result = Mutex<ScheduleOutcome?>(nil)
    }
}
