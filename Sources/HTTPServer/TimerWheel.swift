package import Platform

/// A deadline in a `TimerWheel`. Its owner keeps it and arms it again and again.
package final class WheelTimer {
    fileprivate(set) var deadline: Instant?
    fileprivate var slot = 0
    fileprivate unowned var previous: WheelTimer?
    fileprivate var next: WheelTimer?
    private let action: () -> Void

    /// `action` runs on the loop; it may arm and cancel timers.
    package init(_ action: @escaping () -> Void) { self.action = action }

    fileprivate func fire() { action() }
}

/// Deadlines of one event loop: arming and cancelling are O(1), a turn looks at the slots that
/// passed.
///
/// A hashed wheel of 16,384 slots of 4 ms, about a minute around; what lies further is met again
/// each time round. A timer fires up to one slot late, never early.
package struct TimerWheel {
    private static let slotCount = 16_384
    private static let slotNanoseconds: Int64 = 4_000_000

    private var heads = [WheelTimer?](repeating: nil, count: slotCount)
    /// A bit per slot that has a timer, so that the next one is found without a walk.
    private var occupied = [UInt64](repeating: 0, count: slotCount / 64)
    private var tick: Int64

    package init(now: Instant) { tick = now.nanoseconds / Self.slotNanoseconds }

    package mutating func arm(_ timer: WheelTimer, at deadline: Instant) {
        cancel(timer)
        timer.deadline = deadline
        // Rounded up: never early. A deadline that passed is met at the next turn.
        let due = deadline.nanoseconds / Self.slotNanoseconds
        let slot = Int(max(due + 1, tick + 1) % Int64(Self.slotCount))
        timer.slot = slot
        timer.previous = nil
        timer.next = heads[slot]
        heads[slot]?.previous = timer
        heads[slot] = timer
        occupied[slot / 64] |= 1 << UInt64(slot % 64)
    }

    package mutating func cancel(_ timer: WheelTimer) {
        guard timer.deadline != nil else { return }
        timer.deadline = nil
        let next = timer.next
        if let previous = timer.previous {
            previous.next = next
        } else {
            heads[timer.slot] = next
            if next == nil { occupied[timer.slot / 64] &= ~(1 << UInt64(timer.slot % 64)) }
        }
        next?.previous = timer.previous
        timer.previous = nil
        timer.next = nil
    }

    /// Milliseconds until the next slot with a timer has passed; nil where there is none.
    package func millisecondsUntilNext(_ now: Instant) -> Int32? {
        let start = Int((tick + 1) % Int64(Self.slotCount))
        for step in 0...occupied.count {
            let word = (start / 64 + step) % occupied.count
            var bits = occupied[word]
            if step == 0 { bits &= ~0 << UInt64(start % 64) }
            if step == occupied.count { bits &= ~(~0 << UInt64(start % 64)) }
            guard bits != 0 else { continue }
            let slot = word * 64 + bits.trailingZeroBitCount
            let distance = Int64((slot - start + Self.slotCount) % Self.slotCount)
            let due = (tick + 1 + distance) * Self.slotNanoseconds
            return Int32(max(0, min(60_000, (due - now.nanoseconds + 999_999) / 1_000_000)))
        }
        return nil
    }

    /// Takes out timers whose deadline has passed, `most` of them; the caller fires them with
    /// `fire(_:)`.
    package mutating func expired(_ now: Instant, atMost most: Int) -> [WheelTimer] {
        let target = now.nanoseconds / Self.slotNanoseconds
        var expired: [WheelTimer] = []
        // After a long pause each slot is looked at once, not once for each round.
        let first = max(tick + 1, target - Int64(Self.slotCount) + 1)
        if first <= target {
            tick = target
            slots: for passed in first...target {
                let slot = Int(passed % Int64(Self.slotCount))
                guard occupied[slot / 64] & (1 << UInt64(slot % 64)) != 0 else { continue }
                var timer = heads[slot]
                while let current = timer {
                    if expired.count == most {
                        tick = passed - 1
                        break slots
                    }
                    timer = current.next
                    if let deadline = current.deadline, deadline <= now { expired.append(current) }
                }
            }
        }
        for timer in expired { cancel(timer) }
        return expired
    }

    package static func fire(_ timer: WheelTimer) { timer.fire() }
}
