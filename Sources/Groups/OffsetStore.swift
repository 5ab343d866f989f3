/// The committed offsets of the groups of one shard.
package struct OffsetStore: Equatable, Sendable {
    private var offsets: [GroupID: [TopicID: [Int32: CommittedOffset]]] = [:]

    package init() {}

    package var groups: [GroupID] { Array(offsets.keys) }

    package func contains(_ group: GroupID) -> Bool { offsets[group] != nil }

    func contains(_ group: GroupID, _ topic: TopicID) -> Bool { offsets[group]?[topic] != nil }

    package func committed(_ key: OffsetKey) -> CommittedOffset? {
        offsets[key.group]?[key.topic]?[key.partition]
    }

    /// All that the group has committed, in no order.
    package func committed(_ group: GroupID) -> [(key: OffsetKey, committed: CommittedOffset)] {
        var all: [(key: OffsetKey, committed: CommittedOffset)] = []
        for (topic, partitions) in offsets[group] ?? [:] {
            for (partition, committed) in partitions {
                all.append((OffsetKey(group: group, topic: topic, partition: partition), committed))
            }
        }
        return all
    }

    /// The offsets any group has committed for a topic.
    func keys(of topic: TopicID) -> [OffsetKey] {
        offsets.flatMap { group, topics in
            (topics[topic] ?? [:]).keys.map {
                OffsetKey(group: group, topic: topic, partition: $0)
            }
        }
    }

    // MARK: - Apply

    /// A group is there as long as it has an offset.
    package mutating func apply(_ record: GroupRecord) {
        switch record {
        case .offsetCommitted(let key, let committed):
            offsets[key.group, default: [:]][key.topic, default: [:]][key.partition] = committed
        case .offsetRemoved(let key):
            guard offsets[key.group]?[key.topic] != nil else { return }
            offsets[key.group]?[key.topic]?[key.partition] = nil
            if offsets[key.group]?[key.topic]?.isEmpty == true {
                offsets[key.group]?[key.topic] = nil
            }
            if offsets[key.group]?.isEmpty == true { offsets[key.group] = nil }
        case .group, .member, .target, .assignment, .epochFloor: return
        }
    }
}
