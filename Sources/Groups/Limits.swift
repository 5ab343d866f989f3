/// What bounds the state of groups.
package enum Limits {
    /// Bytes of a group's or member's name, as of a topic's.
    package static let nameBytes = 249
    /// Bytes of the metadata a client may keep with a committed offset (Kafka's default).
    package static let metadataBytes = 4096
    /// Bytes of a topic's name in a record.
    static let topicNameBytes = 249
    /// Bytes of the words that say why a group was rebalanced.
    static let reasonBytes = 600

    package static let groupsPerShard = 10_000
    package static let membersPerGroup = 5_000
    /// Topics one member may name.
    package static let topicsPerMember = 1_000
    /// Partitions of all the topics of a group. A cursor may name and a commit may store as many,
    /// so that a member can always commit what it was given.
    package static let partitionsPerGroup = 20_000

    /// Milliseconds of silence after which a member is taken for gone (Kafka's bounds and default).
    package static let sessionTimeout: ClosedRange<Int64> = 1_000...1_800_000
    package static let defaultSessionTimeout: Int64 = 45_000
    /// Milliseconds a member may take to poll while it owes a revocation (Kafka's
    /// max.poll.interval.ms).
    package static let rebalanceTimeout: ClosedRange<Int64> = 1_000...1_800_000
    package static let defaultRebalanceTimeout: Int64 = 300_000

    /// Milliseconds an empty group keeps its offsets (Kafka's offsets.retention.minutes: 7 days),
    /// counted while the program runs: no jump of the wall clock ends a group.
    package static let offsetRetention: Int64 = 7 * 24 * 60 * 60 * 1000
    /// Milliseconds between two notes of how long a group has been empty: so much a crash forgets.
    static let emptyAgeInterval: Int64 = 60 * 60 * 1000
}
