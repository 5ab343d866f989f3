import Groups
import Testing

/// All small groups: who subscribes to what, and topics of one to four partitions.
struct AssignorTests {
    /// Of one member, the topics it names as bits.
    private typealias Subscription = Int

    private struct Small: CustomStringConvertible {
        var members: [Subscription]
        var partitions: [Int]

        var description: String { "members \(members), partitions \(partitions)" }

        func subscribers(_ topic: Int) -> [Int] {
            members.indices.filter { members[$0] & 1 << topic != 0 }
        }

        /// The same assignor, asked as the coordinator asks it.
        func share(
            _ assignor: Assignor, _ current: [MemberID: Set<TopicPartition>] = [:]
        ) -> [MemberID: Set<TopicPartition>] {
            var metadata: [MemberID: MemberMetadata] = [:]
            for (member, subscription) in members.enumerated() where subscription != 0 {
                let topics = partitions.indices.filter { subscription & 1 << $0 != 0 }
                metadata[AssignorTests.id(member)] = MemberMetadata(topics: topics.map { "t\($0)" })
            }
            var shapes: [String: TopicShape] = [:]
            for (topic, count) in partitions.enumerated() where !subscribers(topic).isEmpty {
                shapes["t\(topic)"] = TopicShape(
                    TopicID(high: UInt64(topic), low: 1), partitionCount: Int32(count))
            }
            var sharing = Sharing(metadata, shapes)
            return sharing.share(assignor, current: current)
        }
    }

    private static let ids = ["a", "b", "c", "d", "e"].compactMap { MemberID($0) }
    private static func id(_ member: Int) -> MemberID { ids[member] }

    private static func place(_ topic: Int, _ partition: Int) -> TopicPartition {
        TopicPartition(TopicID(high: UInt64(topic), low: 1), Int32(partition))
    }

    /// Members are alike but for their names, so of those with the same subscriptions one order.
    private static func small(members: Int, topics: Int, partitions: Int) -> [Small] {
        var subscriptions: [[Subscription]] = [[]]
        for _ in 0..<members {
            subscriptions = subscriptions.flatMap { chosen in
                ((chosen.last ?? 1)..<1 << topics).map { chosen + [$0] }
            }
        }
        var counts: [[Int]] = [[]]
        for _ in 0..<topics { counts = counts.flatMap { c in (1...partitions).map { c + [$0] } } }
        return subscriptions.flatMap { s in counts.map { Small(members: s, partitions: $0) } }
    }

    /// The owner of each partition of each topic; nil for a group that is not whole and disjoint.
    private static func owners(
        _ group: Small, _ shares: [MemberID: Set<TopicPartition>]
    ) -> [[Int]]? {
        var owners = group.partitions.map { [Int](repeating: -1, count: $0) }
        for (member, id) in ids.enumerated() {
            for place in shares[id] ?? [] {
                let (topic, partition) = (Int(place.topic.high), Int(place.partition))
                guard member < group.members.count, group.members[member] & 1 << topic != 0,
                    owners.indices.contains(topic), owners[topic].indices.contains(partition),
                    owners[topic][partition] < 0
                else { return nil }
                owners[topic][partition] = member
            }
        }
        for topic in owners.indices where !group.subscribers(topic).isEmpty {
            if owners[topic].contains(-1) { return nil }
        }
        return owners
    }

    /// Nobody has two more than somebody who could take one of it. `counts` are by topic and member.
    private static func isBalanced(_ group: Small, _ counts: [[Int]]) -> Bool {
        var loads = [Int](repeating: 0, count: group.members.count)
        for topic in counts { for (member, count) in topic.enumerated() { loads[member] += count } }
        for (topic, held) in counts.enumerated() {
            let subscribers = group.subscribers(topic)
            let least = subscribers.map { loads[$0] }.min() ?? 0
            for member in subscribers where held[member] > 0 && loads[member] > least + 1 {
                return false
            }
        }
        return true
    }

    private static func counts(_ group: Small, _ owners: [[Int]]) -> [[Int]] {
        owners.map { owners in
            group.members.indices.map { member in owners.count { $0 == member } }
        }
    }

    // MARK: - Whole, disjoint, even

    @Test(arguments: 1...4, Assignor.allCases)
    func `every small group is shared out whole, to subscribers, and as the assignor promises`(
        members: Int, assignor: Assignor
    ) {
        for group in Self.small(members: members, topics: 3, partitions: 4) {
            guard let owners = Self.owners(group, group.share(assignor)) else {
                Issue.record("not whole, or not disjoint: \(group)")
                return
            }
            let counts = Self.counts(group, owners)
            let isEven =
                switch assignor {
                case .sticky: Self.isBalanced(group, counts)
                // Each topic in itself, in runs.
                case .range:
                    owners.indices.allSatisfy { topic in
                        let held = group.subscribers(topic).map { counts[topic][$0] }
                        return owners[topic] == owners[topic].sorted()
                            && (held.max() ?? 0) - (held.min() ?? 0) <= 1
                    }
                // All in turn, where all subscribe to all.
                case .roundrobin:
                    Set(group.members).count > 1 || Self.isBalanced(group, counts)
                }
            #expect(isEven, "\(group)")
        }
    }

    @Test(arguments: Assignor.allCases)
    func `the same question has the same answer, and sticky that of before`(assignor: Assignor) {
        for group in Self.small(members: 3, topics: 2, partitions: 3) {
            let shares = group.share(assignor)
            #expect(group.share(assignor) == shares)
            #expect(group.share(assignor, shares) == shares, "\(group)")
        }
    }

    // MARK: - Moves

    /// What can happen to a group: a member leaves, joins, or changes its mind; a topic grows.
    private static func changes(_ group: Small) -> [Small] {
        var changes: [Small] = []
        for member in group.members.indices {
            for subscription in 0..<1 << group.partitions.count {
                var change = group
                change.members[member] = subscription
                changes.append(change)
            }
        }
        for subscription in 1..<1 << group.partitions.count {
            var change = group
            change.members.append(subscription)
            changes.append(change)
        }
        for topic in group.partitions.indices {
            var change = group
            change.partitions[topic] += 1
            changes.append(change)
        }
        return changes
    }

    /// The fewest partitions that any balanced assignment takes from members who could keep them:
    /// all of them are looked at, by how many of each topic a member has.
    private static func fewestMoves(_ group: Small, from held: [[Int]]) -> Int {
        var fewest = Int.max
        var counts = group.partitions.map { _ in [Int](repeating: 0, count: group.members.count) }
        func choose(_ topic: Int, _ subscribers: ArraySlice<Int>, _ left: Int, _ moves: Int) {
            guard moves < fewest else { return }
            guard let member = subscribers.first else {
                guard left == 0 || group.subscribers(topic).isEmpty else { return }
                if topic + 1 < group.partitions.count {
                    choose(
                        topic + 1, group.subscribers(topic + 1)[...],
                        group.partitions[topic + 1], moves)
                } else if isBalanced(group, counts) {
                    fewest = moves
                }
                return
            }
            for count in 0...left {
                counts[topic][member] = count
                choose(
                    topic, subscribers.dropFirst(), left - count,
                    moves + max(0, held[topic][member] - count))
            }
            counts[topic][member] = 0
        }
        choose(0, group.subscribers(0)[...], group.partitions[0], 0)
        return fewest
    }

    @Test(arguments: 1...4)
    func `after any change sticky is whole and even, and moves as few as can be, or one more`(
        members: Int
    ) {
        for group in Self.small(members: members, topics: 2, partitions: 3) {
            let before = group.share(.sticky)
            for change in Self.changes(group) {
                guard let owners = Self.owners(change, change.share(.sticky, before)) else {
                    Issue.record("not whole, or not disjoint: \(change) after \(group)")
                    return
                }
                let counts = Self.counts(change, owners)
                #expect(Self.isBalanced(change, counts), "\(change) after \(group)")
                var moves = 0
                var held = counts.map { $0.map { _ in 0 } }
                for (member, id) in Self.ids.enumerated() {
                    for place in before[id] ?? [] {
                        let (topic, partition) = (Int(place.topic.high), Int(place.partition))
                        guard change.members[member] & 1 << topic != 0 else { continue }
                        held[topic][member] += 1
                        if owners[topic][partition] != member { moves += 1 }
                    }
                }
                let fewest = Self.fewestMoves(change, from: held)
                // One more in some groups whose members name different topics, as Kafka's.
                let isAlike = Set(change.members.filter { $0 != 0 }).count == 1
                #expect(moves <= fewest + (isAlike ? 0 : 1), "\(change) after \(group)")
            }
        }
    }
}
