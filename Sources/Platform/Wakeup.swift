import Synchronization

/// One waiting task and everyone who may wake it: new data, a deadline, a client that left, a
/// drain.
///
/// A wake is latched: one that comes between the last look and `wait` is not lost (KAFKA-14334).
/// Many may wake from any thread; one task waits at a time. After `wait` returns, look again at
/// what was waited for: a wake says "look", never "it is there".
package final class Wakeup: Sendable {
    private enum State {
        case idle
        case woken
        case waiting(UnsafeContinuation<Void, Never>)
    }

    private let state = Mutex<State>(.idle)

    package init() {}

    package func wake() {
        let waiter: UnsafeContinuation<Void, Never>? = state.withLock {
            if case .waiting(let continuation) = $0 {
                $0 = .idle
                return continuation
            }
            $0 = .woken
            return nil
        }
        waiter?.resume()
    }

    /// Whether a wake came that no `wait` has taken yet.
    package var isWoken: Bool {
        state.withLock { state in
            if case .woken = state { return true }
            return false
        }
    }

    /// Returns at the next wake, or at once if there was one since the last `wait` returned.
    package func wait() async {
        await withUnsafeContinuation { continuation in
            let wasWoken = state.withLock {
                if case .woken = $0 {
                    $0 = .idle
                    return true
                }
                $0 = .waiting(continuation)
                return false
            }
            if wasWoken { continuation.resume() }
        }
    }
}
