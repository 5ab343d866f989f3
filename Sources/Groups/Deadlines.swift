/// Points in time by key, the next one found in O(log n). Setting one that lies later costs O(1).
package struct Deadlines: Sendable {
    package enum Key: Hashable, Sendable {
        /// A member's session.
        case session(MemberKey)
        /// A member's time to poll where the group waits for that.
        case rebalance(MemberKey)
        /// An empty group's offsets.
        case vacancy(GroupID)
    }

    private var deadlines: [Key: Duration] = [:]
    /// A heap. Each key with a deadline has an item here that is not later than it; what came
    /// before and no longer holds is passed over.
    private var heap: [(at: Duration, key: Key)] = []
    private var earliest: [Key: Duration] = [:]

    package init() {}

    package subscript(key: Key) -> Duration? { deadlines[key] }

    /// No deadline is before this; nil where there is none.
    package var next: Duration? { heap.first?.at }

    package mutating func set(_ key: Key, _ deadline: Duration) {
        deadlines[key] = deadline
        if let known = earliest[key], known <= deadline { return }
        push(key, deadline)
    }

    package mutating func clear(_ key: Key) { deadlines[key] = nil }

    /// Takes out what has passed.
    package mutating func due(_ now: Duration) -> [Key] {
        var due: [Key] = []
        while let first = heap.first, first.at <= now {
            pop()
            guard earliest[first.key] == first.at else { continue }
            earliest[first.key] = nil
            guard let deadline = deadlines[first.key] else { continue }
            if deadline <= now {
                deadlines[first.key] = nil
                due.append(first.key)
            } else {
                push(first.key, deadline)
            }
        }
        return due
    }

    private mutating func push(_ key: Key, _ at: Duration) {
        earliest[key] = at
        heap.append((at, key))
        var child = heap.count - 1
        while child > 0, heap[child].at < heap[(child - 1) / 2].at {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func pop() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var place = 0
        while true {
            var next = place
            for child in [2 * place + 1, 2 * place + 2] where child < heap.count {
                if heap[child].at < heap[next].at { next = child }
            }
            if next == place { return }
            heap.swapAt(place, next)
            place = next
        }
    }
}
