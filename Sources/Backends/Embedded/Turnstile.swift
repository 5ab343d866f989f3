import Platform
import Synchronization

/// Lets one task at a time through, in the order they came: changes of metadata take many steps on
/// the disk, and no thread may wait meanwhile.
final class Turnstile: Sendable {
    private struct State {
        var isTaken = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }
    private let state = Mutex(State())

    func enter() async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock {
                if $0.isTaken {
                    $0.waiters.append(continuation)
                    return false
                }
                $0.isTaken = true
                return true
            }
            if isFree { continuation.resume() }
        }
    }

    func leave() {
        let next: CheckedContinuation<Void, Never>? = state.withLock {
            if $0.waiters.isEmpty {
                $0.isTaken = false
                return nil
            }
            return $0.waiters.removeFirst()
        }
        next?.resume()
    }
}

extension WorkerPool {
    /// Runs file work on a worker and returns, or throws, what it did.
    func attempt<Value: Sendable>(
        _ body: @escaping @Sendable () throws(DiskError) -> Value
    ) async throws(DiskError) -> Value {
        try await value { () -> Result<Value, DiskError> in Result(catching: body) }.get()
    }

    /// Runs `body` for every index below `count` on the workers; returns when all are done.
    func forEach(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<count { group.addTask { await self.value { body(index) } } }
        }
    }
}
