import Platform

/// A place in the log: an offset and the byte where its record begins or will begin.
struct LogMark: Equatable, Sendable {
    var offset: Int64
    /// Base offset of the segment.
    var segment: Int64
    var position: Int64
}

/// What the lock of a partition guards.
struct PartitionState: Sendable {
    enum Status: Sendable {
        case open
        /// Not written to any more; what was durable can be read.
        case failed(String)
        case damaged(at: Int64, String)
        case closed
    }

    var options: PartitionOptions
    var status = Status.open
    /// By base offset; never empty; the last one is appended to.
    var segments: [Segment]
    var logStart: Int64
    /// The next record's offset.
    var end: Int64
    /// The high watermark: everything before it survives a power cut.
    var durable: LogMark
    /// Segments before this base offset were synced whole, and a checkpoint says so or soon will.
    var recoveryPoint: Int64
    var gapsAllowedBefore: Int64
    /// A segment was created whose directory entry is not durable yet.
    var isDirectoryDirty = false
    /// A sync is queued or running.
    var isSyncScheduled = false
    /// The scheduled sync may come a little later: nobody waits for it, see `hastenSync`.
    var isSyncDeferred = false
    /// How many the last sync let go, and how long it took.
    var lastSettled = (count: 0, took: Duration.zero)
    /// Whether someone is to hear of the next sync.
    var isAwaited: Bool { !waiters.isEmpty || watchers.count > 0 }
    /// `close` has begun: nothing more is appended.
    var isClosing = false
    /// The last checkpoint vouches for what an append would change; it must go first.
    var mustRevokeVouch = false
    /// There was no space for the active segment's chain file; it must go first as well.
    var owesChain = false
    var waiters = SyncWaiters()
    var watchers = Watchers()
    var marks = RecentMarks()
    /// Who wrote what, as far as it is remembered.
    var producers = ProducerTable()
    /// Somebody once sent an identity: without a snapshot the whole log must be read for it.
    var hasProducers = false
    /// How many segments compaction has replaced.
    var generations = 0
    /// nil until compaction has asked for it.
    var compaction: CompactionState?
    /// Compaction runs, or has met damage: not to be begun (again).
    var isCompacting = false
    var compactionFailure: String?
    /// When this run opened the partition.
    let openedAt: Instant
    /// Syncs in a row that failed for want of descriptors or memory.
    var passingFailures = 0
    /// `Partition.onFailure` was called.
    var hasToldFailure = false
    /// When ages were last written down.
    var agesSavedAt: Instant
    var statistics = Partition.Statistics()
    /// What recovery mended, in words for an operator.
    var notes: [String] = []

    /// The index in `segments` of the one that holds `offset`: the last that begins at or before
    /// it.
    func segmentIndex(holding offset: Int64) -> Int {
        var low = 0
        var high = segments.count
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].base <= offset { low = middle + 1 } else { high = middle }
        }
        return max(0, low - 1)
    }

    /// The index of the segment with this base offset; nil if it is gone.
    func segmentIndex(base: Int64) -> Int? {
        let index = segmentIndex(holding: base)
        return segments[index].base == base ? index : nil
    }

    /// What the segment with this base offset is now; nil if it is gone.
    func generation(of base: Int64) -> Int? {
        segmentIndex(base: base).map { segments[$0].generation }
    }

    /// Where durable bytes end in the segment at `index`.
    func readableEnd(_ index: Int) -> Int64 {
        let segment = segments[index]
        if segment.base < durable.segment { return segment.byteCount }
        return segment.base == durable.segment ? durable.position : 0
    }

    /// After an error that may pass; not for ever, for there are those who wait.
    mutating func mayTrySyncAgain() -> Bool {
        passingFailures += 1
        guard !isClosing, passingFailures < Limits.passingFailures else { return false }
        isDirectoryDirty = true
        return true
    }

    /// How many of the first segments lie wholly before `offset`, and before the one that the high
    /// watermark is in.
    func goingCount(below offset: Int64) -> Int {
        let end = min(offset, durable.segment)
        var count = 0
        while count + 1 < segments.count, segments[count + 1].base <= end { count += 1 }
        return count
    }

    /// Throws unless records may be appended.
    func checkWritable() throws(LogError) {
        if isClosing { throw .closed }
        switch status {
        case .open: return
        case .failed(let words): throw .failed(words)
        case .damaged(let offset, let words): throw .damaged(at: Offset(offset), words)
        case .closed: throw .closed
        }
    }

    /// What a change of the state asks of the workers.
    enum SyncStart { case none, now, later }

    /// Something was written. Nothing is deferred that somebody waits for, so a reader that follows
    /// the log and a producer that wants `acks=all` see no delay; one that does neither costs fewer
    /// syncs.
    mutating func scheduleSync(isAwaited willBeAwaited: Bool) -> SyncStart {
        let isAwaited = willBeAwaited || isAwaited
        if isSyncScheduled { return isAwaited ? hastenSync() : .none }
        isSyncScheduled = true
        isSyncDeferred = !isAwaited
        return isSyncDeferred ? .later : .now
    }

    /// Somebody waits now, or the moment has passed: a deferred sync is due.
    mutating func hastenSync() -> SyncStart {
        guard isSyncDeferred else { return .none }
        isSyncDeferred = false
        return .now
    }

    /// How long the next sync may wait for company. Where the last one let many go, most of them
    /// come again at once: a sync's time later one sync serves them all, and not two or three. With
    /// few who wait there is no pause.
    var gatheringPause: Duration? {
        guard lastSettled.count >= Limits.gatheringCount, waiters.count < lastSettled.count * 3 / 4,
            lastSettled.took > .zero
        else { return nil }
        return min(lastSettled.took, Limits.gatheringPause)
    }

    /// Between two rounds: whether the next can wait, because nobody waits for it.
    mutating func deferSync() -> Bool {
        guard case .open = status, !isClosing, !isAwaited, end > durable.offset, !isDirectoryDirty
        else { return false }
        isSyncDeferred = true
        return true
    }

    func checkpoint(isClean: Bool, now: Instant) -> Checkpoint {
        let listed = isClean ? segments[...] : segments.prefix { $0.base < recoveryPoint }
        return Checkpoint(
            isClean: isClean, logStart: logStart, nextOffset: durable.offset,
            recoveryPoint: recoveryPoint, gapsAllowedBefore: gapsAllowedBefore,
            hasProducers: hasProducers || !producers.isEmpty,
            segments: listed.map {
                Checkpoint.SealedSegment(
                    base: $0.base, byteCount: $0.byteCount, maxTimestamp: $0.maxTimestamp,
                    idleMilliseconds: $0.idleMilliseconds(now), indexChecksum: $0.indexChecksum)
            })
    }
}

/// Where some offsets are found, without an index: ends of recent reads, where the next read of the
/// same reader begins, and recent high watermarks, where all who follow the log begin.
struct RecentMarks: Sendable {
    private var marks = [LogMark](
        repeating: LogMark(offset: -1, segment: -1, position: -1), count: 64)

    /// Forgets the places in segments of these base offsets.
    mutating func remove(segments: Range<Int64>) {
        for index in marks.indices where segments.contains(marks[index].segment) {
            marks[index] = LogMark(offset: -1, segment: -1, position: -1)
        }
    }

    mutating func insert(_ mark: LogMark) { marks[Self.place(mark.offset)] = mark }

    func mark(of offset: Int64) -> LogMark? {
        let mark = marks[Self.place(offset)]
        return mark.offset == offset ? mark : nil
    }

    private static func place(_ offset: Int64) -> Int {
        Int((UInt64(bitPattern: offset) &* 0x9E37_79B9_7F4A_7C15) >> 58)
    }
}
