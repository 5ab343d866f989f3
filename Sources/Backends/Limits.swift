/// Every limit of the embedded backend and the group coordinator.
package enum Limits {
    // MARK: Topics

    package static let topicNameBytes = 249
    package static let topics = 10_000
    package static let partitionsPerTopic = 1_000
    /// Each holds at least one descriptor and a recovery at start.
    package static let partitions = 20_000

    /// Closed segments kept open for readers, and the share of the process's descriptors they may
    /// take: one in this many.
    package static let openSegments = 4_000
    package static let openSegmentsShare = 4

    /// A smaller segment is mostly file system overhead; positions in an index are 32 bits.
    package static let segmentBytes: ClosedRange<Int64> = (64 << 10)...(1 << 30)
    package static let maxRecordBytes = 1...(16 << 20)
    /// At most about a hundred years, so that nanoseconds fit 64 bits.
    package static let retentionMs: ClosedRange<Int64> = 1...3_153_600_000_000
    package static let deleteRetentionMs: ClosedRange<Int64> = 0...3_153_600_000_000
    package static let retentionBytes: ClosedRange<Int64> = 1...(.max)

    /// A topic.json or node.json beyond this is not one of ours.
    static let metadataFileBytes: Int64 = 64 << 10

    /// Sealed segments are read so fast to look for damage, and a pass begins so often at most.
    package static let scrubBytesPerSecond: Int64 = 8 << 20
    package static let scrubInterval: Duration = .seconds(6 * 60 * 60)

    // MARK: State log and groups

    /// Shards of the group coordinator; a group's name is hashed to one. Never changes for a data
    /// directory: the hash would find other shards.
    package static let stateShards = 16
    /// Small, so that cleaning gives space back soon.
    static let stateSegmentBytes: Int64 = 4 << 20
    /// The largest record is the assignment of one member of a group of 20,000 partitions.
    static let stateRecordBytes = 1 << 20
    /// A shard is cleaned when it has this many records more than twice its live ones.
    package static let stateGarbageRecords = 10_000
    /// Bytes of log replayed at a time.
    static let stateReadBytes = 1 << 20
    /// Records appended under one lock while cleaning.
    static let stateCleaningBatch = 500

    /// After which the end of a session is tried again that could not be written.
    static let expiryRetry = Duration.seconds(1)
}
