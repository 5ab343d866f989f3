import Platform

/// Who waits for records to become durable, by offset. Offsets come nearly in order, so adding is
/// O(1) but for a rare step back, and settling costs O(settled).
struct SyncWaiters: Sendable {
    private struct Waiter: Sendable {
        var offset: Int64
        var suspension: Suspension
    }

    private var waiters: [Waiter] = []
    /// Where the first that still waits is.
    private var first = 0

    var isEmpty: Bool { first == waiters.count }
    var count: Int { waiters.count - first }

    mutating func add(_ suspension: Suspension, for offset: Int64) {
        var index = waiters.count
        while index > first, waiters[index - 1].offset > offset { index -= 1 }
        waiters.insert(Waiter(offset: offset, suspension: suspension), at: index)
    }

    /// Takes out all that wait for `highWatermark` or less, in order.
    mutating func settle(upTo highWatermark: Int64) -> [Suspension] {
        var index = first
        while index < waiters.count, waiters[index].offset <= highWatermark { index += 1 }
        let settled = waiters[first..<index].map(\.suspension)
        first = index
        if first == waiters.count {
            waiters.removeAll(keepingCapacity: true)
            first = 0
        } else if first > 1024, first > waiters.count / 2 {
            waiters.removeFirst(first)
            first = 0
        }
        return settled
    }
}
