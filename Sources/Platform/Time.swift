import Glibc

/// A point on the monotonic clock, in nanoseconds since boot (suspension included). It never jumps
/// with the wall clock, so sessions, deadlines and ages are counted on it.
package struct Instant: Comparable, Hashable, Sendable {
    package var nanoseconds: Int64

    @inlinable
    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    @inlinable
    package static func < (left: Instant, right: Instant) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// Saturates, so that no duration a client chose can overflow.
    package static func + (left: Instant, duration: Duration) -> Instant {
        let (seconds, attoseconds) = duration.components
        let (product, overflowed) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (whole, carried) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        let (sum, spilled) = left.nanoseconds.addingReportingOverflow(whole)
        return Instant(nanoseconds: overflowed || carried || spilled ? .max : sum)
    }

    package static func - (left: Instant, right: Instant) -> Duration {
        .nanoseconds(left.nanoseconds &- right.nanoseconds)
    }
}

extension Duration {
    /// Whole milliseconds, rounded down, as the wire counts time.
    package var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds &* 1000 &+ attoseconds / 1_000_000_000_000_000
    }
}

/// Where time comes from; tests move a `ManualTime`.
package protocol TimeSource: Sendable {
    func now() -> Instant
    /// Milliseconds since 1970 by the wall clock: for record timestamps and logs, never for
    /// deadlines.
    func wallMilliseconds() -> Int64
}

package struct SystemTime: TimeSource {
    package init() {}

    package func now() -> Instant {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Instant(nanoseconds: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
    }

    package func wallMilliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) &* 1000 &+ Int64(time.tv_nsec) / 1_000_000
    }
}
