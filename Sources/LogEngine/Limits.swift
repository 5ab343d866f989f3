/// Every limit of this room, by name.
enum Limits {
    /// Bytes of log between two index entries; Kafka's `index.interval.bytes`.
    static let indexInterval = 4096
    /// The largest batch taken, in bytes: positions in an index are 31 bits.
    static let batchBytes = 1 << 30
    /// A segment ends here whatever its options say, for the same reason.
    static let segmentBytes = Int64(Int32.max) - Int64(batchBytes)
    /// Bytes read at a time while scanning.
    static let scanChunk = 1 << 20
    /// Bytes a read asks for at least, so that a small batch needs one call.
    static let readChunk = 16 << 10
    /// Bytes one read returns at most, but for a single larger batch.
    static let readBytes = 64 << 20
    /// Bytes a compressed batch may open to.
    static let inflatedBytes = 64 << 20
    /// Sealed segments of a partition whose file and indexes are kept open for readers.
    static let openSealedSegments = 8
    /// Syncs one job does before it queues again, so that partitions share the workers.
    static let syncRounds = 8
    /// From how many waiters on a sync may wait for company, and how long at most.
    static let gatheringCount = 8
    static let gatheringPause = Duration.microseconds(200)
    /// Bytes of a checkpoint file: enough for 4 million segments, too little to exhaust memory.
    static let checkpointBytes: Int64 = 128 << 20
    /// Bytes of a chain file: more than the longest segment's marks need.
    static let chainBytes: Int64 = 16 << 20
    /// Bytes of checksums the search behind damage may compute, per byte searched, and in any case.
    static let searchWorkPerByte = 4
    static let searchWork = 64 << 20
    /// The least time, in milliseconds, between two checkpoints written only to remember ages.
    static let ageCheckpointInterval: Int64 = 60_000
}
