package import Platform

/// What a partition is told by its topic's configuration. Sizes in bytes; nil: without limit.
package struct PartitionOptions: Equatable, Sendable {
    package var segmentBytes: Int64 = 256 << 20
    package var maxRecordBytes = 1 << 20
    package var retentionBytes: Int64?
    package var retentionMs: Int64?

    package init() {}
}

/// One partition: an append-only log in a directory of its own, its readers, and those who wait for it.
///
/// Thread-safe. Nothing here waits for the disk on the caller's thread except `open`, `close` and
/// `remove`, which are called from workers.
package final class Partition: Sendable {
    /// Opens or creates the log in `directory`, recovering what a clean stop did not vouch for.
    /// `progress` is called now and then with bytes scanned. `workers` runs syncs and cold reads.
    package static func open(
        _ directory: String, disk: any Disk, time: any TimeSource, workers: WorkerPool,
        options: PartitionOptions, progress: @Sendable (Int64) -> Void
    ) throws(LogError) -> Partition { fatalError() }

    /// Writes the batch and schedules its sync; returns the first record's offset.
    /// Throws with nothing appended: `.storageFull`, `.recordTooLarge`, `.failed`, `.damaged`, `.closed`.
    package func append(_ batch: consuming RecordBatchBuilder) throws(LogError) -> Offset { fatalError() }

    /// Returns once every record in front of `offset` is durable.
    package func durable(before offset: Offset) async throws(LogError) { fatalError() }

    /// Whole batches below the high watermark from the one that holds `offset` on: one at least, then
    /// while they fit in `maxBytes`. Checked against their CRC. Empty at the high watermark.
    package func read(from offset: Offset, maxBytes: Int) async throws(LogError) -> [UInt8] { fatalError() }

    package var logStart: Offset { fatalError() }
    package var highWatermark: Offset { fatalError() }
    package var logEnd: Offset { fatalError() }
    /// Bytes of the segment files.
    package var byteCount: Int64 { fatalError() }
    /// Why no more is written, in words for an operator; nil while all is well.
    package var failure: String? { fatalError() }

    /// The first offset below the high watermark whose timestamp is at or after `timestamp`.
    package func offset(atOrAfter timestamp: Int64) async throws(LogError) -> Offset { fatalError() }

    /// Moves the log start up, durably, and lets go of segments wholly before it.
    package func deleteRecords(before offset: Offset) async throws(LogError) -> Offset { fatalError() }

    /// Deletes segments past the limits of the options, by bytes and by age since their last append.
    package func enforceRetention() async throws(LogError) { fatalError() }

    package func configure(_ options: PartitionOptions) { fatalError() }

    /// Wakes `wakeup` when the high watermark passes `offset` (at once if it has), and when the
    /// partition fails or closes, until `unwatch`.
    package func watch(past offset: Offset, _ wakeup: Wakeup) -> UInt64 { fatalError() }
    package func unwatch(_ id: UInt64) { fatalError() }
    /// Wakes all who watch, whatever for: the topic changed or goes away.
    package func wakeAll() { fatalError() }

    /// Syncs, writes indexes and vouches for the files; calls then throw `.closed`.
    package func close() throws(LogError) { fatalError() }
    /// Closes without vouching, for a topic that is being deleted; the caller removes the directory.
    package func abandon() { fatalError() }

    package struct Statistics: Sendable {
        package var appendedRecords: UInt64 = 0
        package var appendedBytes: UInt64 = 0
        package var readBytes: UInt64 = 0
        package var syncCount: UInt64 = 0
        package var syncNanoseconds: UInt64 = 0
    }
    package var statistics: Statistics { fatalError() }
}
