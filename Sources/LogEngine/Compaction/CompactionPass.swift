import Platform

/// One pass of compaction over a partition, on a worker: read, note, write again, put in place.
struct CompactionPass {
    struct Outcome: Sendable {
        /// Compacted up to here.
        var end: Int64 = 0
        var firstTombstone = Int64.max
        var holdsProducers = false
        var readByteCount: Int64 = 0
        var removedByteCount: Int64 = 0
    }

    private let partition: Partition
    private let plan: CompactionPlan
    private let settings: CompactionSettings
    private var pace: Pace
    private(set) var outcome = Outcome()

    init(_ partition: Partition, _ plan: CompactionPlan, _ settings: CompactionSettings) {
        self.partition = partition
        self.plan = plan
        self.settings = settings
        pace = Pace(time: partition.time, bytesPerSecond: settings.bytesPerSecond)
    }

    /// Throws `.closed` where the pass is no longer wanted; what it has put in place stays.
    mutating func run() throws(LogError) {
        var lastBatches = LastBatches(most: Limits.compactionProducers)
        if plan.compaction.holdsProducers { try noteCleanProducers(&lastBatches) }
        let (map, end) = try noteKeys(&lastBatches)
        var filter = BatchFilter(
            hash: settings.hash, map: map, mapEnd: end, logStart: plan.logStart,
            expiredBefore: plan.compaction.expiredBefore, lastBatches: lastBatches)
        for group in plan.groups(before: end) { try rewrite(group, &filter) }
        outcome.end = end
        outcome.firstTombstone = filter.firstTombstone
        outcome.holdsProducers = filter.holdsProducers
    }

    // MARK: - Reading

    private mutating func noteCleanProducers(
        _ lastBatches: inout LastBatches
    ) throws(LogError) {
        for input in plan.inputs where input.segment.base < plan.dirtyStart {
            _ = try walk(input) { header, _ throws(LogError) in
                lastBatches.note(header)
                return true
            }
        }
    }

    /// The keys of what is not yet compacted, and the offset up to which they are all there.
    private mutating func noteKeys(
        _ lastBatches: inout LastBatches
    ) throws(LogError) -> (OffsetMap, end: Int64) {
        let (start, hash) = (plan.dirtyStart, settings.hash)
        var end = max(start, plan.inputs.last?.end ?? start)
        let offsetCount = Int(clamping: end - start)
        var map = OffsetMap(keyCount: offsetCount, byteCount: settings.mapByteCount)
        for input in plan.inputs where input.end > start {
            let isWhole = try walk(input) { header, batch throws(LogError) in
                lastBatches.note(header)
                guard header.lastOffset >= start, header.codec.isReadable else { return true }
                var reader = RecordBatchReader(batch)
                while let record = try reader.next() {
                    guard record.offset.value >= start, let key = record.key else { continue }
                    let bytes = reader.bytes.span
                    let fingerprint = hash.hash(bytes.extracting(key))
                    guard map.insert(fingerprint, at: record.offset.value) else {
                        end = record.offset.value
                        return false
                    }
                }
                return true
            }
            if !isWhole { break }
        }
        return (map, end)
    }

    /// Calls `body` with each batch of a segment, checked, until it returns false.
    private mutating func walk(
        _ input: CompactionPlan.Input,
        _ body: (RecordBatchHeader, [UInt8]) throws(LogError) -> Bool
    ) throws(LogError) -> Bool {
        var position: Int64 = 0
        let byteCount = input.segment.byteCount
        let file = try partition.openForCompaction(input.segment.base)
        var window = ScanWindow(file, byteCount: byteCount)
        var next = input.segment.base
        while position < byteCount {
            let batch: [UInt8]?
            do throws(DiskError) { batch = try window.batch(at: position) } catch {
                throw .disk(error)
            }
            guard let batch, let header = RecordBatchHeader(batch.span), header.isIntact(batch.span)
            else {
                let words = "no intact batch at byte \(position) of its segment"
                throw .damaged(at: Offset(next), words)
            }
            guard header.baseOffset >= next, header.lastOffset < input.end else {
                throw .damaged(at: Offset(next), "a batch stands where it does not belong")
            }
            outcome.readByteCount += Int64(batch.count)
            try spend(batch.count)
            guard try body(header, batch) else { return false }
            next = header.nextOffset
            position += Int64(batch.count)
        }
        return true
    }

    private mutating func spend(_ byteCount: Int) throws(LogError) {
        guard pace.spend(byteCount) else { return }
        guard partition.state.withLock({ $0.mayCompact }) else { throw .closed }
    }

    // MARK: - Writing

    private mutating func rewrite(
        _ group: [CompactionPlan.Input], _ filter: inout BatchFilter
    ) throws(LogError) {
        guard let first = group.first, let last = group.last,
            let lastFilled = group.lastIndex(where: { $0.segment.byteCount > 0 })
        else { return }
        let (base, changedBefore) = (first.segment.base, filter.changedCount)
        let draft = try partition.createDraft(base)
        var output = SegmentDraft(draft, base: base)
        filter.begin(at: base)
        do throws(LogError) {
            for (index, input) in group.enumerated() {
                var position: Int64 = 0
                _ = try walk(input) { header, batch throws(LogError) in
                    position += Int64(batch.count)
                    let isLast = index == lastFilled && position == input.segment.byteCount
                    let before = output.pending.count
                    try filter.write(batch, header, isLast: isLast, to: &output.pending)
                    try output.count(from: before)
                    return true
                }
            }
            try output.finish()
            try spend(Int(output.byteCount))
        } catch {
            partition.discard(partition.path(base, SegmentName.cleaned))
            throw error
        }
        let byteCount = group.reduce(0) { $0 + $1.segment.byteCount }
        if group.count == 1, filter.changedCount == changedBefore {
            // Nothing is overruled.
            return partition.discard(partition.path(base, SegmentName.cleaned))
        }
        let swap = SegmentSwap(
            segment: segment(of: output, in: group), end: last.end,
            replaced: group.map(\.segment.base))
        try partition.put(swap)
        outcome.removedByteCount += byteCount - output.byteCount
    }

    /// As old as the youngest of those it replaces.
    private func segment(of output: SegmentDraft, in group: [CompactionPlan.Input]) -> Segment {
        let now = partition.time.now()
        var segment = Segment(
            base: output.base, byteCount: output.byteCount, file: output.file, openedAt: now)
        segment.indexes = output.indexes
        segment.indexChecksum = output.indexes.checksum
        segment.maxTimestamp = output.maxTimestamp
        segment.idleBefore = group.map { $0.segment.idleMilliseconds(now) }.min() ?? 0
        return segment
    }
}

/// A compacted segment while it is written.
struct SegmentDraft {
    let file: any DiskFile
    let base: Int64
    private(set) var byteCount: Int64 = 0
    private(set) var indexes = SegmentIndexes()
    private(set) var maxTimestamp = Int64.min
    /// Batches that are not yet written.
    var pending: [UInt8] = []
    private var written: Int64 = 0

    init(_ file: any DiskFile, base: Int64) {
        self.file = file
        self.base = base
    }

    /// Takes in the batches that were added to `pending` at `start`.
    mutating func count(from start: Int) throws(LogError) {
        var start = start
        while let header = RecordBatchHeader(pending.span, at: start) {
            indexes.add(
                relativeOffset: header.lastOffset - base, maxTimestamp: header.maxTimestamp,
                position: byteCount, byteCount: header.batchByteCount)
            maxTimestamp = max(maxTimestamp, header.maxTimestamp)
            byteCount += Int64(header.batchByteCount)
            start += header.batchByteCount
        }
        if pending.count >= Limits.scanChunk { try flush() }
    }

    /// Writes what is left and makes all of it durable.
    mutating func finish() throws(LogError) {
        try flush()
        do throws(DiskError) { try file.sync() } catch { throw .disk(error) }
    }

    private mutating func flush() throws(LogError) {
        do throws(DiskError) { try file.write(pending.span, at: written) } catch {
            throw error.isStorageFull ? .storageFull : .disk(error)
        }
        written += Int64(pending.count)
        pending.removeAll(keepingCapacity: true)
    }
}

/// Keeps work on the disk below a rate.
private struct Pace {
    private let time: any TimeSource
    private let bytesPerSecond: Int
    private var since: Instant
    private var spent = 0

    init(time: any TimeSource, bytesPerSecond: Int) {
        self.time = time
        self.bytesPerSecond = max(1, bytesPerSecond)
        since = time.now()
    }

    /// Counts bytes; now and then, returning true, waits until they are within the rate.
    mutating func spend(_ byteCount: Int) -> Bool {
        spent += byteCount
        guard spent >= Limits.scanChunk else { return false }
        let share = Duration.microseconds(Int64(spent) * 1_000_000 / Int64(bytesPerSecond))
        let left = share - (time.now() - since)
        if left > .zero { pauseThread(for: left) }
        since = time.now()
        spent = 0
        return true
    }
}

extension ScanWindow {
    /// The bytes of the batch at `position`; nil where none stands there whole.
    mutating func batch(at position: Int64) throws(DiskError) -> [UInt8]? {
        guard try holds(RecordBatchHeader.byteCount, at: position),
            let header = RecordBatchHeader(bytes.span, at: index(of: position)),
            try holds(header.batchByteCount, at: position)
        else { return nil }
        var batch: [UInt8] = []
        let start = index(of: position)
        batch.append(bytes.span.extracting(start..<start + header.batchByteCount))
        return batch
    }
}

extension Partition {
    fileprivate func openForCompaction(_ base: Int64) throws(LogError) -> any DiskFile {
        do throws(DiskError) { return try disk.open(path(base, SegmentName.log), .read) } catch {
            // Deleted meanwhile by retention, or with its topic.
            throw error.isNotFound ? .closed : .disk(error)
        }
    }

    fileprivate func createDraft(_ base: Int64) throws(LogError) -> any DiskFile {
        let result: Result<any DiskFile, LogError> = swapping.withLock { _ in
            Result { () throws(LogError) in
                guard state.withLock({ $0.mayCompact }) else { throw .closed }
                do throws(DiskError) {
                    let file = try disk.open(path(base, SegmentName.cleaned), .readWrite)
                    try file.truncate(to: 0)
                    return file
                } catch { throw error.isStorageFull ? .storageFull : .disk(error) }
            }
        }
        return try result.get()
    }
}
