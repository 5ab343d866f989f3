import Glibc

/// Calls a body now and then from a thread of its own, until it is stopped.
// @unchecked: `isStopped` is only touched under `mutex`.
package final class Ticker: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let signal: UnsafeMutablePointer<pthread_cond_t>
    private var isStopped = false

    /// The first call comes one `interval` from now. The body must not block for long.
    package init(name: String, every interval: Duration, _ body: @escaping @Sendable () -> Void) {
        mutex = .allocate(capacity: 1)
        signal = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        // Not the wall clock, which jumps.
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(signal, &attributes)
        pthread_condattr_destroy(&attributes)
        startThread(name) { while self.wait(interval) { body() } }
    }

    // The thread holds the ticker until it is stopped, so nothing waits on what is freed here.
    deinit {
        pthread_cond_destroy(signal)
        pthread_mutex_destroy(mutex)
        signal.deallocate()
        mutex.deallocate()
    }

    /// No call begins after this returns, but for one that is being made.
    package func stop() {
        pthread_mutex_lock(mutex)
        isStopped = true
        pthread_cond_signal(signal)
        pthread_mutex_unlock(mutex)
    }

    /// False once stopped.
    private func wait(_ interval: Duration) -> Bool {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let nanoseconds = Int64(time.tv_nsec) + interval.wholeMilliseconds % 1000 * 1_000_000
        let seconds = interval.wholeMilliseconds / 1000 + nanoseconds / 1_000_000_000
        var deadline = timespec(
            tv_sec: time.tv_sec &+ Int(seconds), tv_nsec: Int(nanoseconds % 1_000_000_000))
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !isStopped {
            if pthread_cond_timedwait(signal, mutex, &deadline) == ETIMEDOUT { break }
        }
        return !isStopped
    }
}
