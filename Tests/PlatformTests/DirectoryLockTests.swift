import Glibc
import Platform
import Testing

struct DirectoryLockTests {
    /// Pitfall 29.
    @Test
    func `a second lock fails at once, and works when the first is gone`() throws {
        let path = "/tmp/millrace-lock-\(getpid())-\(UInt64.random(in: 0...(.max)))"
        defer { unlink(path) }
        var first: DirectoryLock? = try DirectoryLock(path)
        #expect(throws: DiskError(operation: "flock", path: path, code: EWOULDBLOCK)) {
            try DirectoryLock(path)
        }
        _ = first
        first = nil
        _ = try DirectoryLock(path)
    }
}

struct TickerTests {
    @Test
    func `a ticker calls until it is stopped`() async {
        let wakeup = Wakeup()
        let ticker = Ticker(name: "tick", every: .milliseconds(1)) { wakeup.wake() }
        await wakeup.wait()
        await wakeup.wait()
        ticker.stop()
    }
}
