/// The clock of sessions: monotonic time, less the time this program did not run.
///
/// Whoever was stopped (SIGSTOP, a paused container, a host that slept) heard nobody meanwhile, so
/// that is nobody's silence: every deadline moves by the gap.
package struct SessionClock: Sendable {
    /// From one look to the next no more than this counts. A shell that looks ten times a second is
    /// late by so much only if it did not run; and where it always is, time still passes. A third
    /// of the shortest session, the time between two heartbeats, and this are less than a session.
    package static let longestGap = Duration.milliseconds(500)

    private var last: Duration?
    private var paused = Duration.zero

    package init() {}

    /// `now` is monotonic and counts suspension.
    package mutating func read(_ now: Duration) -> Duration {
        if let last, now > last {
            paused += max(.zero, now - last - Self.longestGap)
            self.last = now
        } else if last == nil {
            last = now
        }
        return (last ?? now) - paused
    }
}
