package import Platform
import Synchronization

/// Counts failed attempts to authenticate per address, and says when there were too many: a burst
/// of 20, then one a second.
///
/// An address that has used its failures up still gets in with a right token: those behind one
/// balancer or router share an address, and nobody guesses 256 bits anyway. What it gets no more is
/// 401 as its answer, and more signatures verified than cost little.
package final class FailureLimiter: Sendable {
    private struct Buckets {
        var failures: Bucket
        /// Of signatures, once the failures are used up.
        var verifications: Bucket

        init(now: Instant) {
            failures = Bucket(
                perSecond: Limits.failuresPerSecond, capacity: Limits.failureBurst, now: now)
            verifications = Bucket(
                perSecond: Limits.verificationsPerSecond,
                capacity: Limits.verificationsPerSecond, now: now)
        }
    }

    private let buckets = Mutex<[String: Buckets]>([:])
    private let counting = Flag()

    /// Whether there was any failure since the start.
    package var isCounting: Bool { counting.isSet }

    package init() {}

    /// Whether a signature may be verified for this address, which may be a right one.
    package func mayVerify(_ address: String, now: Instant) -> Bool {
        buckets.withLock {
            let wait = $0[address]?.failures.wait(for: 1, now: now) ?? .zero
            if wait == .zero { return true }
            guard $0[address]?.verifications.wait(for: 1, now: now) == .zero else { return false }
            $0[address]?.verifications.use(1, now: now)
            return true
        }
    }

    /// Counts a failure; how long until the next is looked at, zero while there are some left.
    package func fail(_ address: String, now: Instant) -> Duration {
        counting.set()
        return buckets.withLock {
            if $0[address] == nil {
                if $0.count >= Limits.addresses { Self.makeRoom(&$0, now) }
                $0[address] = Buckets(now: now)
            }
            let wait = $0[address]?.failures.wait(for: 1, now: now) ?? .zero
            if wait == .zero { $0[address]?.failures.use(1, now: now) }
            return wait
        }
    }

    /// Those that failed long ago go; where nobody did, all start anew.
    private static func makeRoom(_ buckets: inout [String: Buckets], _ now: Instant) {
        for address in buckets.keys {
            _ = buckets[address]?.failures.wait(for: 0, now: now)
            if buckets[address]?.failures.isFull ?? true { buckets[address] = nil }
        }
        if buckets.count >= Limits.addresses { buckets.removeAll() }
    }
}
