/// How the partitions of a group's topics are shared out.
package enum Assignor: UInt8, CaseIterable, Sendable {
    /// Evenly, moving as few as possible.
    case sticky = 1
    /// Each topic in runs, so that partitions of one number meet at one member (Kafka's range).
    case range = 2
    /// All partitions in turn (Kafka's roundrobin).
    case roundrobin = 3

    package init?(name: String) {
        guard let assignor = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = assignor
    }

    package var name: String { "\(self)" }

    /// What most of the members want, the earlier among equals; sticky where none says.
    static func chosen(by members: some Collection<MemberMetadata>) -> Assignor {
        var votes = [Int](repeating: 0, count: allCases.count + 1)
        for member in members {
            if let wanted = member.assignor { votes[Int(wanted.rawValue)] += 1 }
        }
        return allCases.max { votes[Int($0.rawValue)] < votes[Int($1.rawValue)] } ?? .sticky
    }
}

/// One sharing-out, over members and topics by their index. Everything is sorted first, so that the
/// same input always gives the same assignment.
package struct Sharing {
    package let members: [MemberID]
    /// Sorted by topic.
    package let topics: [TopicShape]
    /// Of each topic, the members who subscribe to it, ascending.
    private let subscribers: [[Int]]
    /// Of each topic, the owner of each partition; -1 for nobody.
    private var owners: [[Int]]
    private var loads: [Int]

    package init(_ members: [MemberID: MemberMetadata], _ shapes: [String: TopicShape]) {
        self.members = members.keys.sorted()
        topics = shapes.values.sorted {
            ($0.topic.high, $0.topic.low) < ($1.topic.high, $1.topic.low)
        }
        var indexes: [TopicID: Int] = [:]
        for (index, shape) in topics.enumerated() { indexes[shape.topic] = index }
        var subscribers = [[Int]](repeating: [], count: topics.count)
        for (index, member) in self.members.enumerated() {
            for name in members[member]?.topics ?? [] {
                if let topic = shapes[name].flatMap({ indexes[$0.topic] }) {
                    subscribers[topic].append(index)
                }
            }
        }
        self.subscribers = subscribers
        owners = topics.map { [Int](repeating: -1, count: Int($0.partitionCount)) }
        loads = [Int](repeating: 0, count: self.members.count)
    }

    /// What each member is to have; `current` is what it was to have before.
    package mutating func share(
        _ assignor: Assignor, current: [MemberID: Set<TopicPartition>]
    ) -> [MemberID: Set<TopicPartition>] {
        switch assignor {
        case .range: shareRanges()
        case .roundrobin: shareInTurn()
        case .sticky:
            keep(current)
            giveOut()
            balance()
        }
        var shares: [MemberID: Set<TopicPartition>] = [:]
        for member in members { shares[member] = [] }
        for (topic, owners) in zip(topics, owners) {
            for (partition, owner) in owners.enumerated() where owner >= 0 {
                shares[members[owner]]?.insert(TopicPartition(topic.topic, Int32(partition)))
            }
        }
        return shares
    }

    private mutating func give(_ topic: Int, _ partition: Int, to member: Int) {
        let before = owners[topic][partition]
        if before >= 0 { loads[before] -= 1 }
        owners[topic][partition] = member
        loads[member] += 1
    }

    // MARK: - Range and round-robin

    private mutating func shareRanges() {
        for topic in topics.indices where !subscribers[topic].isEmpty {
            let (share, extra) = owners[topic].count.quotientAndRemainder(
                dividingBy: subscribers[topic].count)
            var partition = 0
            for (place, member) in subscribers[topic].enumerated() {
                for _ in 0..<share + (place < extra ? 1 : 0) {
                    give(topic, partition, to: member)
                    partition += 1
                }
            }
        }
    }

    private mutating func shareInTurn() {
        var isSubscriber = [Bool](repeating: false, count: members.count)
        var turn = 0
        for topic in topics.indices where !subscribers[topic].isEmpty {
            for member in subscribers[topic] { isSubscriber[member] = true }
            for partition in owners[topic].indices {
                while !isSubscriber[turn % members.count] { turn += 1 }
                give(topic, partition, to: turn % members.count)
                turn += 1
            }
            for member in subscribers[topic] { isSubscriber[member] = false }
        }
    }

    // MARK: - Sticky

    /// Whoever was to have a partition and still may keeps it.
    private mutating func keep(_ current: [MemberID: Set<TopicPartition>]) {
        var indexes: [TopicID: Int] = [:]
        for (index, shape) in topics.enumerated() { indexes[shape.topic] = index }
        for (member, id) in members.enumerated() {
            for place in current[id] ?? [] {
                guard let topic = indexes[place.topic],
                    owners[topic].indices.contains(Int(place.partition)),
                    owners[topic][Int(place.partition)] < 0, isSubscribed(member, topic)
                else { continue }
                give(topic, Int(place.partition), to: member)
            }
        }
    }

    private func isSubscribed(_ member: Int, _ topic: Int) -> Bool {
        var (low, high) = (0, subscribers[topic].count)
        while low < high {
            let middle = (low + high) / 2
            if subscribers[topic][middle] < member { low = middle + 1 } else { high = middle }
        }
        return low < subscribers[topic].count && subscribers[topic][low] == member
    }

    /// What nobody has goes to the one with the least; topics with fewer subscribers first.
    private mutating func giveOut() {
        for topic in topics.indices.sorted(by: { subscribers[$0].count < subscribers[$1].count }) {
            let free = owners[topic].indices.filter { owners[topic][$0] < 0 }
            guard !free.isEmpty, !subscribers[topic].isEmpty else { continue }
            var queue = LeastLoaded(subscribers[topic].map { (load: loads[$0], member: $0) })
            for partition in free { give(topic, partition, to: queue.take()) }
        }
    }

    /// Moves single partitions from whoever has most to whoever has least, as long as they differ
    /// by two or more. Each move makes the loads more even, so it ends.
    private mutating func balance() {
        var hasMoved = true
        while hasMoved {
            hasMoved = false
            for topic in topics.indices where subscribers[topic].count > 1 {
                if balance(topic) { hasMoved = true }
            }
        }
    }

    private mutating func balance(_ topic: Int) -> Bool {
        var held = [Int](repeating: 0, count: members.count)
        for owner in owners[topic] where owner >= 0 { held[owner] += 1 }
        // From the end on: what a member got last is what moves.
        var partition = owners[topic].count - 1
        var hasMoved = false
        while let (most, least) = extremes(topic, held), loads[most] - loads[least] >= 2 {
            while partition >= 0, owners[topic][partition] != most { partition -= 1 }
            if partition < 0 {
                partition = owners[topic].count - 1
                continue
            }
            give(topic, partition, to: least)
            held[most] -= 1
            held[least] += 1
            hasMoved = true
        }
        return hasMoved
    }

    /// Of the topic's subscribers: who has most, among those who hold a partition of it, and least.
    private func extremes(_ topic: Int, _ held: [Int]) -> (most: Int, least: Int)? {
        var most = -1
        var least = -1
        for member in subscribers[topic] {
            if held[member] > 0, most < 0 || loads[member] > loads[most] { most = member }
            if least < 0 || loads[member] < loads[least] { least = member }
        }
        return most < 0 ? nil : (most, least)
    }
}

/// A heap of members by load, the earlier member first among equals.
private struct LeastLoaded {
    private var heap: [(load: Int, member: Int)]

    init(_ members: [(load: Int, member: Int)]) { heap = members.sorted(by: <) }

    /// Gives the first one more.
    mutating func take() -> Int {
        let member = heap[0].member
        heap[0].load += 1
        var place = 0
        while true {
            var next = place
            for child in [2 * place + 1, 2 * place + 2] where child < heap.count {
                if heap[child] < heap[next] { next = child }
            }
            if next == place { return member }
            heap.swapAt(place, next)
            place = next
        }
    }
}
