import Glibc

/// Open at first; while it is closed, threads that come to it wait.
// @unchecked: `isClosed` is read and written under `mutex` only.
package final class Gate: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let signal = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var isClosed = false

    package init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(signal, nil)
    }

    deinit {
        mutex.deallocate()
        signal.deallocate()
    }

    package func close() { change { isClosed = true } }
    package func open() { change { isClosed = false } }

    package func pass() {
        pthread_mutex_lock(mutex)
        while isClosed { pthread_cond_wait(signal, mutex) }
        pthread_mutex_unlock(mutex)
    }

    private func change(_ body: () -> Void) {
        pthread_mutex_lock(mutex)
        body()
        pthread_cond_broadcast(signal)
        pthread_mutex_unlock(mutex)
    }
}
