import Glibc

/// Threads for work that blocks in the kernel: fdatasync, reads that miss the page cache, unlink.
///
/// A job must not wait for another job of the same pool.
// @unchecked: every access to `jobs`, `deferred`, `idle` and `running` is under `mutex`.
package final class WorkerPool: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let signal: UnsafeMutablePointer<pthread_cond_t>
    private let deferral: UnsafeMutablePointer<pthread_cond_t>
    private let limit: Int
    private let name: String
    private var jobs: [@Sendable () -> Void] = []
    private var first = 0
    /// Jobs that wait for the moment to pass; nil until there was one, and its thread.
    private var deferred: [@Sendable () -> Void]?
    private var idle = 0
    private var running = 0

    /// `limit` threads at most; each starts when a job finds no thread idle, and stays.
    ///
    /// With a limit of 0, for tests: jobs wait until `runPending`, and `value` runs on its caller.
    package init(name: String, limit: Int) {
        precondition(limit >= 0)
        self.name = name
        self.limit = limit
        mutex = .allocate(capacity: 1)
        signal = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(signal, nil)
        deferral = .allocate(capacity: 1)
        pthread_cond_init(deferral, nil)
    }

    // No deinit: threads hold the pool for the life of the process.

    /// Runs `job` on one of the threads, first come first served.
    package func run(_ job: @escaping @Sendable () -> Void) {
        pthread_mutex_lock(mutex)
        jobs.append(job)
        let mustStart = idle < jobs.count - first && running < limit
        if mustStart { running += 1 }
        pthread_cond_signal(signal)
        pthread_mutex_unlock(mutex)
        if mustStart { startThread(name) { self.work() } }
    }

    /// How long `runSoon` lets jobs gather.
    package static let moment = Duration.milliseconds(2)

    /// Runs `job` after a moment, with all others that come until then.
    package func runSoon(_ job: @escaping @Sendable () -> Void) {
        if limit == 0 { return run(job) }
        pthread_mutex_lock(mutex)
        let mustStart = deferred == nil
        deferred = deferred ?? []
        deferred?.append(job)
        if deferred?.count == 1 { pthread_cond_signal(deferral) }
        pthread_mutex_unlock(mutex)
        if mustStart { startThread("\(name)-soon") { self.passOn() } }
    }

    /// The thread of the deferred: sleeps while there are none.
    private func passOn() {
        while true {
            pthread_mutex_lock(mutex)
            while deferred?.isEmpty ?? true { pthread_cond_wait(deferral, mutex) }
            pthread_mutex_unlock(mutex)
            usleep(UInt32(Self.moment.wholeMilliseconds * 1000))
            pthread_mutex_lock(mutex)
            let due = deferred ?? []
            deferred = []
            pthread_mutex_unlock(mutex)
            for job in due { run(job) }
        }
    }

    /// Runs `body` on one of the threads and waits for its result without holding the caller's
    /// thread.
    package func value<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        if limit == 0 { return body() }
        return await withUnsafeContinuation { continuation in
            run { continuation.resume(returning: body()) }
        }
    }

    /// Runs what waits, and what that adds, on the caller's thread; only for a pool without
    /// threads.
    package func runPending() {
        precondition(limit == 0)
        while true {
            pthread_mutex_lock(mutex)
            let job = jobs.isEmpty ? nil : jobs.removeFirst()
            pthread_mutex_unlock(mutex)
            guard let job else { return }
            job()
        }
    }

    private func work() {
        while true {
            pthread_mutex_lock(mutex)
            while first == jobs.count {
                idle += 1
                pthread_cond_wait(signal, mutex)
                idle -= 1
            }
            let job = jobs[first]
            first += 1
            if first == jobs.count || first > 1024 {
                jobs.removeFirst(first)
                first = 0
            }
            pthread_mutex_unlock(mutex)
            job()
        }
    }
}

/// Runs tasks that prefer it, for what computes longer than an event loop may.
extension WorkerPool: TaskExecutor {
    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        run { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
