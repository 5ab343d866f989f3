/// One partition of one topic, which is known by its UUID.
package struct TopicPartition: Hashable, Comparable, Sendable {
    package var topic: TopicID
    package var partition: Int32

    package init(_ topic: TopicID, _ partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    package static func < (left: TopicPartition, right: TopicPartition) -> Bool {
        (left.topic.high, left.topic.low, left.partition)
            < (right.topic.high, right.topic.low, right.partition)
    }
}

/// What a topic looks like to a group that subscribes to it.
package struct TopicShape: Equatable, Sendable {
    package var topic: TopicID
    package var partitionCount: Int32

    package init(_ topic: TopicID, partitionCount: Int32) {
        self.topic = topic
        self.partitionCount = partitionCount
    }
}

/// The present topics by name; nil for one that is not there.
package typealias TopicLookup = (String) -> TopicShape?

/// A partition as a client names it: of whichever topic has the name now.
struct NamedPartition: Hashable {
    var topic: String
    var partition: Int32
}
