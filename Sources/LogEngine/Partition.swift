package import Platform
import Synchronization

/// What a partition is told by its topic's configuration. Sizes in bytes; nil: without limit.
package struct PartitionOptions: Equatable, Sendable {
    package var segmentBytes: Int64 = 256 << 20
    package var maxRecordBytes = 1 << 20
    package var retentionBytes: Int64?
    package var retentionMs: Int64?
    /// Of each key only the latest record counts (`cleanupPolicy: compact`): records without a key
    /// are refused, and `compact` removes what is overruled.
    package var isCompacted = false
    /// How long a tombstone stays once compaction has removed what it ended, so that whoever reads
    /// from before it learns of it. Kafka's `delete.retention.ms`.
    package var deleteRetentionMs: Int64 = 24 * 60 * 60 * 1000
    package var compressionType = CompressionType.none

    package init() {}
}

/// One partition: an append-only log in a directory of its own, its readers, and those who wait for
/// it.
///
/// Thread-safe. Nothing here waits for the disk on the caller's thread except `open`, `close` and
/// `remove`, which are called from workers.
///
/// Locks, in the order they may be taken: `syncing`, `swapping`, `checkpointing`, `state`. All but
/// the last are held over system calls and taken by workers only; `state` is never held over a sync
/// or a read.
package final class Partition: Sendable {
    let directory: String
    let disk: any Disk
    let time: any TimeSource
    let workers: WorkerPool
    let openSegments: OpenSegments
    let state: Mutex<PartitionState>
    /// Of the options, for appends, which compress before they take the lock.
    let compresses: Atomic<Bool>
    /// Held while files are synced: the error of one sync must not be missed by another.
    let syncing = Mutex<Void>(())
    /// Held while files of sealed segments come and go: an index must not be written for a segment
    /// that is no longer there.
    let swapping = Mutex<Void>(())
    /// Held while a checkpoint is made and stored, so that none overtakes a later one.
    let checkpointing = Mutex<Void>(())

    /// Told why, once, when the partition fails while it is open.
    let onFailure: @Sendable (String) -> Void

    init(
        _ directory: String, disk: any Disk, time: any TimeSource, workers: WorkerPool,
        openSegments: OpenSegments, onFailure: @escaping @Sendable (String) -> Void,
        state: sending PartitionState
    ) {
        self.directory = directory
        self.disk = disk
        self.time = time
        self.workers = workers
        self.openSegments = openSegments
        self.onFailure = onFailure
        compresses = Atomic(state.options.compressionType == .gzip)
        self.state = Mutex(state)
    }

    package var logStart: Offset { Offset(state.withLock { $0.logStart }) }
    package var highWatermark: Offset { Offset(state.withLock { $0.durable.offset }) }
    package var logEnd: Offset { Offset(state.withLock { $0.end }) }
    /// Bytes of the segment files.
    package var byteCount: Int64 {
        state.withLock { $0.segments.reduce(0) { $0 &+ $1.byteCount } }
    }

    /// What opening mended beside cutting off a torn tail, in words for an operator.
    package var notes: [String] { state.withLock { $0.notes } }

    /// Why no more is written, in words for an operator; nil while all is well.
    package var failure: String? {
        state.withLock {
            switch $0.status {
            case .open, .closed: nil
            case .failed(let words): words
            case .damaged(let offset, let words): "damaged at offset \(offset): \(words)"
            }
        }
    }

    package func configure(_ options: PartitionOptions) {
        state.withLock { $0.options = options }
        compresses.store(options.compressionType == .gzip, ordering: .relaxed)
    }

    package struct Statistics: Sendable {
        package var appendedRecords: UInt64 = 0
        package var appendedBytes: UInt64 = 0
        package var readBytes: UInt64 = 0
        package var syncCount: UInt64 = 0
        package var syncNanoseconds: UInt64 = 0
        package var compactionPassCount: UInt64 = 0
        /// Bytes compaction read, and those of them it did not write again.
        package var compactionReadBytes: UInt64 = 0
        package var compactionRemovedBytes: UInt64 = 0
        package var scrubbedBytes: UInt64 = 0
        /// Places where the scrubber found damage, and chain files it made anew.
        package var scrubbedDamage: UInt64 = 0
        package var chainsMadeAnew: UInt64 = 0
    }
    package var statistics: Statistics { state.withLock { $0.statistics } }

    // MARK: - Watching

    /// Wakes `wakeup` when the high watermark passes `offset` (at once if it has), and when the
    /// partition fails or closes, until `unwatch`. The high watermark passes an offset once: to
    /// wait for more, watch again.
    package func watch(past offset: Offset, _ wakeup: Wakeup) -> UInt64 {
        let (id, isPast, sync) = state.withLock { state in
            var isPast = state.durable.offset > offset.value
            // One that failed has told all who watched; who begins now is told by its read.
            switch state.status {
            case .open, .failed: break
            case .closed, .damaged: isPast = true
            }
            let id =
                isPast
                ? state.watchers.add(woken: wakeup)
                : state.watchers.add(
                    wakeup, past: offset.value, highWatermark: state.durable.offset)
            return (id, isPast, state.hastenSync())
        }
        if isPast { wakeup.wake() }
        start(sync)
        return id
    }

    package func unwatch(_ id: UInt64) { state.withLock { $0.watchers.remove(id) } }

    /// Wakes all who watch, whatever for: the topic changed or goes away.
    package func wakeAll() {
        for wakeup in state.withLock({ $0.watchers.all }) { wakeup.wake() }
    }

    // MARK: - Files

    func place(_ base: Int64) -> SegmentPlace { SegmentPlace(directory: directory, base: base) }

    func path(_ base: Int64, _ suffix: String) -> String {
        directory + "/" + SegmentName.file(base, suffix)
    }

    /// Stores a checkpoint durably; with `logStart`, then moves the log start there, and never
    /// back.
    ///
    /// What lies before the segment of the high watermark is synced, so the recovery point is
    /// there.
    func storeCheckpoint(
        isClean: Bool = false, logStart: Int64? = nil, recoveryPoint: Int64? = nil
    ) throws(DiskError) {
        try checkpointing.withLock { _ throws(DiskError) in
            let now = time.now()
            let checkpoint = state.withLock { state in
                state.recoveryPoint = max(
                    state.recoveryPoint, state.durable.segment, recoveryPoint ?? 0)
                var checkpoint = state.checkpoint(isClean: isClean, now: now)
                checkpoint.logStart = max(checkpoint.logStart, logStart ?? 0)
                return checkpoint
            }
            try checkpoint.store(disk, directory)
            state.withLock { state in
                state.logStart = checkpoint.logStart
                state.agesSavedAt = now
            }
        }
    }
}
