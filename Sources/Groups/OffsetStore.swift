/// The committed offsets of the groups of one shard, as a value: no clock, lock or await.
///
/// A request becomes records (`commit`, `remove`), the records are appended to the shard's log, and
/// only `apply` changes the state. Replaying the log therefore gives the same state again.
package struct OffsetStore: Equatable, Sendable {
    private var offsets: [GroupID: [TopicID: [Int32: CommittedOffset]]] = [:]

    package init() {}

    package var groupCount: Int { offsets.count }
    package var groups: [GroupID] { Array(offsets.keys) }

    package func contains(_ group: GroupID) -> Bool { offsets[group] != nil }

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

    // MARK: - Decide

    /// One record a partition, in the order given. A lower offset than before is taken too (Kafka).
    package func commit(
        _ group: GroupID, _ entries: [(topic: TopicID, partition: Int32, offset: CommittedOffset)]
    ) -> [GroupRecord] {
        entries.map {
            .offsetCommitted(
                OffsetKey(group: group, topic: $0.topic, partition: $0.partition), $0.offset)
        }
    }

    /// Ends the group: every offset it has committed.
    package func remove(_ group: GroupID) -> [GroupRecord] {
        committed(group).map { .offsetRemoved($0.key) }
    }

    /// Ends what any group has committed for a topic that was deleted.
    package func remove(_ topic: TopicID) -> [GroupRecord] {
        offsets.flatMap { group, topics in
            (topics[topic] ?? [:]).keys.map {
                .offsetRemoved(OffsetKey(group: group, topic: topic, partition: $0))
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
        }
    }
}
