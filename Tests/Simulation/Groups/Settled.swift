import Groups

/// What the assignors promise, computed in the plainest way.
struct Settled {
    let group: Group
    /// Topics by name, with their IDs and partition counts.
    let topics: [String: TopicShape]

    /// What is not yet as it must be once nobody joins, leaves or fails any more; nil for nothing.
    var complaint: String? {
        guard group.isStable else { return "not all have what they are meant to have" }
        for (member, target) in group.targets where group.assignments[member]?.owned != target {
            return "\(member.name) has not taken up what it is meant to have"
        }
        let owners = owners
        let places = places
        guard owners.count == places.count else { return "owned are \(owners.count)" }
        for place in places where owners[place] == nil { return "a partition has no owner" }
        switch Assignor.chosen(among: group.members.values) {
        case .sticky: return imbalance(owners)
        case .range: return owners == range ? nil : "the ranges are others"
        case .roundrobin: return owners == inTurn ? nil : "the turns are others"
        }
    }

    private var owners: [TopicPartition: MemberID] {
        var owners: [TopicPartition: MemberID] = [:]
        for (member, assignment) in group.assignments {
            for place in assignment.owned { owners[place] = member }
        }
        return owners
    }

    private func subscribers(_ name: String) -> [MemberID] {
        group.members.filter { $0.value.topics.contains(name) }.keys.sorted()
    }

    /// Of the topics somebody subscribes to, in order.
    private var shapes: [(name: String, shape: TopicShape)] {
        topics.filter { !subscribers($0.key).isEmpty }.map { ($0.key, $0.value) }
            .sorted { TopicPartition($0.1.topic, 0) < TopicPartition($1.1.topic, 0) }
    }

    private var places: [TopicPartition] {
        shapes.flatMap { _, shape in
            (0..<shape.partitionCount).map { TopicPartition(shape.topic, $0) }
        }
    }

    /// No partition would be better off with another of its topic's subscribers.
    private func imbalance(_ owners: [TopicPartition: MemberID]) -> String? {
        var loads: [MemberID: Int] = [:]
        for owner in owners.values { loads[owner, default: 0] += 1 }
        for (name, shape) in shapes {
            let subscribers = subscribers(name)
            let least = subscribers.map { loads[$0] ?? 0 }.min() ?? 0
            for partition in 0..<shape.partitionCount {
                guard let owner = owners[TopicPartition(shape.topic, partition)],
                    subscribers.contains(owner)
                else { return "an owner does not subscribe" }
                if (loads[owner] ?? 0) > least + 1 { return "the loads differ: \(loads)" }
            }
        }
        return nil
    }

    private var range: [TopicPartition: MemberID] {
        var owners: [TopicPartition: MemberID] = [:]
        for (name, shape) in shapes {
            let subscribers = subscribers(name)
            let count = Int(shape.partitionCount)
            var bounds = 0
            for (index, member) in subscribers.enumerated() {
                let share = count / subscribers.count + (index < count % subscribers.count ? 1 : 0)
                for partition in bounds..<bounds + share {
                    owners[TopicPartition(shape.topic, Int32(partition))] = member
                }
                bounds += share
            }
        }
        return owners
    }

    private var inTurn: [TopicPartition: MemberID] {
        let members = group.members.keys.sorted()
        var owners: [TopicPartition: MemberID] = [:]
        var turn = 0
        for (name, shape) in shapes {
            let subscribers = subscribers(name)
            for partition in 0..<shape.partitionCount {
                while !subscribers.contains(members[turn % members.count]) { turn += 1 }
                owners[TopicPartition(shape.topic, partition)] = members[turn % members.count]
                turn += 1
            }
        }
        return owners
    }
}

extension Assignor {
    /// The most votes; the earlier among equals.
    fileprivate static func chosen(
        among members: some Collection<MemberMetadata>
    ) -> Assignor {
        var best = (assignor: Assignor.sticky, votes: 0)
        for assignor in allCases {
            let votes = members.count { $0.assignor == assignor }
            if votes > best.votes { best = (assignor, votes) }
        }
        return best.assignor
    }
}
