/// Every limit of this room, by name.
package enum Limits {
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
    /// Bytes a compressed batch may open to; larger ones are not compressed.
    static let inflatedBytes = 64 << 20
    /// Bytes of records from which on compression is tried.
    static let compressedBytes = 128
    /// zlib's fastest: it runs where the request is read, and takes most of what there is to take.
    static let compressionLevel: Int32 = 1
    /// Closed segments whose file and indexes are kept open, where nothing else is said.
    package static let openSealedSegments = 8
    /// Bytes of their indexes; a segment of 256 MiB has one and a half.
    package static let openIndexBytes = 64 << 20
    /// Syncs one job does before it queues again, so that partitions share the workers.
    static let syncRounds = 8
    /// Before another try where the process is short of descriptors or memory, and after how many
    /// the partition fails: after 5 s.
    static let passingPause = Duration.milliseconds(20)
    static let passingFailures = 250
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

    // MARK: Compaction

    /// Bytes of the map from keys to offsets; keys beyond it are for the next pass. Kafka's
    /// `log.cleaner.dedupe.buffer.size` is 128 MiB for all, this for one partition at a time.
    static let offsetMapBytes = 48 << 20
    /// Compacted from this share of closed bytes that are not yet on, in percent; Kafka's
    /// `min.cleanable.dirty.ratio`.
    static let cleanableDirtyPercent: Int64 = 50
    /// Bytes read and written in a second, so that compaction leaves the disk to others.
    static let compactionBytesPerSecond = 64 << 20
    /// Passes whose time is kept, for tombstones.
    static let compactionPasses = 64
    /// Producers, and as many keys, whose last batch compaction keeps: no fewer than are
    /// remembered.
    static let compactionProducers = 12_500

    // MARK: Idempotence (window of a partition: by count, and by age)

    /// Idempotency keys that are remembered at least, while they are young enough.
    static let keysRemembered = 10_000
    /// Producers that are remembered at least.
    static let producersRemembered = 10_000
    /// How many above that are forgotten at once.
    static let forgottenAtOnce = 2_500
    /// Batches of a producer whose repetition is recognised, as in Kafka.
    static let batchesPerProducer = 5
    /// How long a key or a producer is remembered after its last append; Kafka's
    /// `producer.id.expiration.ms`.
    static let identityAge = Duration.seconds(24 * 60 * 60)
    /// Bytes of a snapshot file: above what these limits allow.
    static let snapshotBytes: Int64 = 4 << 20
}
