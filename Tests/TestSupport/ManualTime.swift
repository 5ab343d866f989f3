package import Platform
import Synchronization

/// Time that moves only when a test says so.
package final class ManualTime: TimeSource {
    private let state = Mutex((monotonic: Int64(1_000_000_000), wall: Int64(1_700_000_000_000)))

    package init() {}

    package func now() -> Instant { Instant(nanoseconds: state.withLock { $0.monotonic }) }
    package func wallMilliseconds() -> Int64 { state.withLock { $0.wall } }

    /// Both clocks go on together, as they do on a machine left alone.
    package func advance(by duration: Duration) {
        state.withLock {
            $0.monotonic += duration.wholeMilliseconds * 1_000_000
            $0.wall += duration.wholeMilliseconds
        }
    }

    /// An operator or NTP sets the wall clock; the monotonic one does not notice.
    package func jumpWall(by duration: Duration) {
        state.withLock { $0.wall += duration.wholeMilliseconds }
    }
}
