package import Platform
import Synchronization

/// Counts failed attempts to authenticate per address, and says when there were too many: a burst
/// of 20, then one a second.
///
/// An address that has used its failures up still gets in with a right token: those behind one
/// balancer or router share an address, and nobody guesses 256 bits anyway. What it gets no more is
/// signatures verified, and 401 as its answer.
package final class FailureLimiter: Sendable {
    private let buckets = Mutex<[String: Bucket]>([:])
    private let counting = Flag()

    /// Whether there was any failure since the start.
    package var isCounting: Bool { counting.isSet }

    package init() {}

    /// How long until this address may fail again; zero: now.
    package func wait(for address: String, now: Instant) -> Duration {
        buckets.withLock { $0[address]?.wait(for: 1, now: now) ?? .zero }
    }

    /// Counts a failure; how long until the next is looked at, zero while there are some left.
    package func fail(_ address: String, now: Instant) -> Duration {
        counting.set()
        return buckets.withLock {
            if $0[address] == nil {
                if $0.count >= Limits.addresses { Self.makeRoom(&$0, now) }
                $0[address] = Bucket(
                    perSecond: Limits.failuresPerSecond, capacity: Limits.failureBurst, now: now)
            }
            let wait = $0[address]?.wait(for: 1, now: now) ?? .zero
            if wait == .zero { $0[address]?.use(1, now: now) }
            return wait
        }
    }

    /// Those that failed long ago go; where nobody did, all start anew.
    private static func makeRoom(_ buckets: inout [String: Bucket], _ now: Instant) {
        for address in buckets.keys {
            _ = buckets[address]?.wait(for: 0, now: now)
            if buckets[address]?.isFull ?? true { buckets[address] = nil }
        }
        if buckets.count >= Limits.addresses { buckets.removeAll() }
    }
}
