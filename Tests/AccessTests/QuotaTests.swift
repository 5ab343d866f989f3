import Access
import Platform
import Testing

@Suite struct `A quota` {
    private let start = Instant(nanoseconds: 1_000_000_000_000)

    @Test func `tells the time after which the next request is let in`() throws {
        let meter = Meter(Quota(requests: 2), now: start)
        for _ in 0..<4 { #expect(meter.admit(now: start) == nil) }
        let excess = try #require(meter.admit(now: start))
        #expect(excess.quota == "requestsPerSecond")
        #expect(excess.wait == .milliseconds(500))
        #expect(meter.admit(now: start + .milliseconds(499)) != nil)
        #expect(meter.admit(now: start + excess.wait) == nil)
        #expect(meter.admit(now: start + excess.wait) != nil)
    }

    @Test func `of bytes lets one request overdraw and the next wait for it`() throws {
        let meter = Meter(Quota(bytesIn: 1000, bytesOut: 100), now: start)
        #expect(meter.admit(now: start) == nil)
        #expect(meter.use(bytesIn: 12_000, bytesOut: 0, now: start) == .seconds(10))
        let excess = try #require(meter.admit(now: start))
        #expect(excess.quota == "bytesInPerSecond")
        #expect(excess.wait == .seconds(10))
        #expect(meter.admit(now: start + .seconds(10)) == nil)
    }

    @Test func `never grows beyond its burst, and survives a clock that stands still`() {
        let meter = Meter(Quota(requests: 1), now: start)
        let later = start + .seconds(1_000_000)
        #expect(meter.admit(now: later) == nil)
        #expect(meter.admit(now: start) == nil)
        #expect(meter.admit(now: later) != nil)
    }

    @Test func `that is enormous does not overflow`() {
        let meter = Meter(Quota(bytesOut: .max), now: start)
        #expect(meter.use(bytesIn: .max, bytesOut: .max, now: start) == .zero)
        let tiny = Meter(Quota(bytesOut: 1), now: start)
        #expect(tiny.use(bytesIn: 0, bytesOut: .max, now: start) > .seconds(1_000_000))
    }
}

@Suite struct `Failures` {
    private let start = Instant(nanoseconds: 1_000_000_000_000)

    @Test func `are counted by address`() {
        let limiter = FailureLimiter()
        for _ in 0..<20 { #expect(limiter.fail("192.0.2.1", now: start) == .zero) }
        #expect(limiter.fail("192.0.2.1", now: start) == .seconds(1))
        #expect(limiter.fail("192.0.2.2", now: start) == .zero)
        #expect(limiter.fail("192.0.2.1", now: start + .seconds(1)) == .zero)
    }

    @Test func `leave an address a bounded number of signatures to be verified`() {
        let limiter = FailureLimiter()
        for _ in 0..<21 { _ = limiter.fail("192.0.2.1", now: start) }
        let verified = (0..<1000).count { _ in limiter.mayVerify("192.0.2.1", now: start) }
        #expect(verified == 200)
        #expect(limiter.mayVerify("192.0.2.1", now: start + .milliseconds(5)))
        #expect(limiter.mayVerify("192.0.2.2", now: start))
    }

    /// API2: 10⁵ bad tokens, each from another address: the table does not grow without end.
    @Test func `from a hundred thousand addresses are held in bounds`() {
        let limiter = FailureLimiter()
        for number in 0..<100_000 { _ = limiter.fail("\(number)", now: start) }
        for _ in 0..<19 { #expect(limiter.fail("99999", now: start) == .zero) }
        #expect(limiter.fail("99999", now: start) > .zero)
    }
}
