import HTTPServer
import Platform
import TestSupport
import Testing

@Suite struct `Timer wheel` {
    private let start = Instant(nanoseconds: 5_000_000_000)

    private func fire(_ wheel: inout TimerWheel, at now: Instant) {
        while true {
            let due = wheel.expired(now, atMost: 3)
            if due.isEmpty { return }
            for timer in due { TimerWheel.fire(timer) }
        }
    }

    @Test func `a timer fires once, never early, and a slot of 4 ms late at most`() {
        for delay in [0, 1, 3, 4, 5, 1000, 65_535, 65_536, 65_537, 200_000] as [Int64] {
            var wheel = TimerWheel(now: start)
            var firings: [Int64] = []
            var elapsed: Int64 = 0
            let timer = WheelTimer { firings.append(elapsed) }
            wheel.arm(timer, at: start + .milliseconds(delay))
            while elapsed < delay + 70_000 {
                elapsed += 1
                fire(&wheel, at: start + .milliseconds(elapsed))
            }
            #expect(firings.count == 1, "\(delay)")
            #expect((delay...(delay + 5)).contains(firings.first ?? -1), "\(delay): \(firings)")
        }
    }

    @Test func `a cancelled timer does not fire, and its neighbours in the slot do`() {
        var wheel = TimerWheel(now: start)
        var fired: [Int] = []
        let timers = (0..<5).map { number in WheelTimer { fired.append(number) } }
        for timer in timers { wheel.arm(timer, at: start + .milliseconds(50)) }
        for number in [0, 2, 4, 2] { wheel.cancel(timers[number]) }
        fire(&wheel, at: start + .milliseconds(100))
        #expect(fired.sorted() == [1, 3])
    }

    @Test func `arming again moves the deadline, and does not fire for the old one`() {
        var wheel = TimerWheel(now: start)
        var count = 0
        let timer = WheelTimer { count += 1 }
        wheel.arm(timer, at: start + .milliseconds(50))
        wheel.arm(timer, at: start + .seconds(5))
        fire(&wheel, at: start + .seconds(4))
        #expect(count == 0)
        fire(&wheel, at: start + .seconds(6))
        #expect(count == 1)
    }

    /// A machine that slept, or a process that was stopped: everything due fires in one turn.
    @Test func `after a pause longer than the wheel every timer that is due fires, and no other`() {
        var wheel = TimerWheel(now: start)
        var fired = 0
        for second in 1...600 as ClosedRange<Int64> {
            wheel.arm(WheelTimer { fired += 1 }, at: start + .seconds(second))
        }
        fire(&wheel, at: start + .milliseconds(300_500))
        #expect(fired == 300)
    }

    @Test func `the end of time is a deadline like any other`() {
        var wheel = TimerWheel(now: start)
        let timer = WheelTimer {}
        wheel.arm(timer, at: Instant(nanoseconds: .max))
        #expect(wheel.expired(start + .seconds(1000), atMost: 3).isEmpty)
        wheel.cancel(timer)
        #expect(wheel.millisecondsUntilNext(start) == nil)
    }

    /// Against a plain list: who sleeps for as long as the wheel says misses no deadline.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a loop that sleeps as long as the wheel says fires what a list would`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var now = start
        var wheel = TimerWheel(now: now)
        var due: [Int: Instant] = [:]
        var fired: [Int] = []
        let timers = (0..<200).map { number in WheelTimer { fired.append(number) } }
        for _ in 0..<3000 {
            let number = random.below(timers.count)
            if random.below(4) == 0 {
                wheel.cancel(timers[number])
                due[number] = nil
            } else {
                let deadline =
                    now + .milliseconds(random.below([100, 10_000, 150_000][random.below(3)]))
                wheel.arm(timers[number], at: deadline)
                due[number] = deadline
            }
            guard let sleep = wheel.millisecondsUntilNext(now) else {
                #expect(due.isEmpty)
                continue
            }
            #expect(sleep >= 0)
            now = now + .milliseconds(min(Int(sleep), random.below(3000)))
            fired = []
            fire(&wheel, at: now)
            for number in fired {
                let deadline = due.removeValue(forKey: number)
                #expect(deadline.map { $0 <= now } == true, "seed \(seed): early or twice")
            }
            let late = due.values.filter { $0 + .milliseconds(5) < now }
            #expect(late.isEmpty, "seed \(seed): missed")
        }
    }
}
