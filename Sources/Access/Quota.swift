package import Platform
import Synchronization

/// What a principal may use, per second on average; nil: as much as there is. A burst may be twice
/// that.
package struct Quota: Equatable, Sendable {
    package var requests: Int64?
    package var bytesIn: Int64?
    package var bytesOut: Int64?

    package init(requests: Int64? = nil, bytesIn: Int64? = nil, bytesOut: Int64? = nil) {
        self.requests = requests
        self.bytesIn = bytesIn
        self.bytesOut = bytesOut
    }

    package var isUnlimited: Bool { requests == nil && bytesIn == nil && bytesOut == nil }

    /// `quota` where it says something, this where not.
    package func overridden(by quota: Quota?) -> Quota {
        Quota(
            requests: quota?.requests ?? requests, bytesIn: quota?.bytesIn ?? bytesIn,
            bytesOut: quota?.bytesOut ?? bytesOut)
    }
}

/// A token bucket on the monotonic clock. What is used may go below zero: bytes are known only when
/// they are through, and the debt is waited for.
package struct Bucket: Sendable {
    private let perSecond: Double
    private let capacity: Double
    private var level: Double
    private var filled: Instant

    package init(perSecond: Double, capacity: Double, now: Instant) {
        self.perSecond = perSecond
        self.capacity = capacity
        level = capacity
        filled = now
    }

    /// Takes `amount`, whatever is there.
    package mutating func use(_ amount: Double, now: Instant) {
        fill(now)
        level -= amount
    }

    /// How long until `amount` is there; zero where it is.
    package mutating func wait(for amount: Double, now: Instant) -> Duration {
        fill(now)
        guard level < amount else { return .zero }
        // A rate of at least one a second and a bounded debt: no overflow.
        return .milliseconds(Int64(min(((amount - level) / perSecond * 1000).rounded(.up), 1e12)))
    }

    package var isFull: Bool { level >= capacity }

    private mutating func fill(_ now: Instant) {
        // The clock is monotonic, but a loop's `now` may be a turn older than another's.
        guard now > filled else { return }
        let seconds = Double(now.nanoseconds &- filled.nanoseconds) / 1e9
        level = min(capacity, level + seconds * perSecond)
        filled = now
    }
}

/// The use of one principal, counted over all its requests.
package final class Meter: Sendable {
    private struct Buckets {
        var requests: Bucket?
        var bytesIn: Bucket?
        var bytesOut: Bucket?
    }

    package let quota: Quota
    private let buckets: Mutex<Buckets>

    package init(_ quota: Quota, now: Instant) {
        self.quota = quota
        func bucket(_ limit: Int64?) -> Bucket? {
            limit.map {
                Bucket(perSecond: Double($0), capacity: Double($0) * 2, now: now)
            }
        }
        buckets = Mutex(
            Buckets(
                requests: bucket(quota.requests), bytesIn: bucket(quota.bytesIn),
                bytesOut: bucket(quota.bytesOut)))
    }

    /// Takes one request, or says which quota is used up and how long to wait.
    package func admit(now: Instant) -> (quota: String, wait: Duration)? {
        buckets.withLock {
            let requests = $0.requests?.wait(for: 1, now: now) ?? .zero
            // Any credit will do: how many bytes a request has is not known before its end.
            let bytesIn = $0.bytesIn?.wait(for: 0, now: now) ?? .zero
            let bytesOut = $0.bytesOut?.wait(for: 0, now: now) ?? .zero
            let longest = max(requests, bytesIn, bytesOut)
            if longest > .zero {
                let quota =
                    longest == requests
                    ? "requestsPerSecond"
                    : longest == bytesIn ? "bytesInPerSecond" : "bytesOutPerSecond"
                return (quota, longest)
            }
            $0.requests?.use(1, now: now)
            return nil
        }
    }

    /// Counts bytes that went through; how long a stream should pause now.
    @discardableResult
    package func use(bytesIn: Int, bytesOut: Int, now: Instant) -> Duration {
        buckets.withLock {
            $0.bytesIn?.use(Double(bytesIn), now: now)
            $0.bytesOut?.use(Double(bytesOut), now: now)
            return max(
                $0.bytesIn?.wait(for: 0, now: now) ?? .zero,
                $0.bytesOut?.wait(for: 0, now: now) ?? .zero)
        }
    }
}
