import Platform
import Synchronization

extension Partition {
    // MARK: - Hot path

    /// Writes the batch and schedules its sync; returns the first record's offset.
    /// Throws with nothing appended: `.storageFull`, `.recordTooLarge`, `.recordWithoutKey`,
    /// `.failed`, `.damaged`, `.closed`.
    ///
    /// `isAwaited`: a call of `durable` follows. One write, no allocation but the rare index entry
    /// or segment. The checksum is made before the lock is taken: it does not cover the offset.
    package func append(
        _ batch: consuming RecordBatchBuilder, isAwaited: Bool = true
    ) throws(LogError) -> Offset {
        try append(batch, under: nil, isAwaited: isAwaited).offset
    }

    /// The same where `rules` hold; also `.identity`, `.endOffsetMismatch`. A batch that is there
    /// already is not appended: `isReplay`, and the offset it has.
    package func append(
        _ batch: consuming RecordBatchBuilder, under rules: AppendRules?, isAwaited: Bool = true
    ) throws(LogError) -> (offset: Offset, isReplay: Bool) {
        let recordCount = batch.recordCount
        let largestRecord = batch.largestRecordByteCount
        let maxTimestamp = batch.largestTimestamp
        let isKeyed = batch.isKeyed
        precondition(recordCount > 0)
        guard batch.byteCount <= Limits.batchBytes else {
            throw .recordTooLarge(limit: Limits.batchBytes)
        }
        batch.identity = rules?.identity
        var bytes = batch.finish()
        if compresses.load(ordering: .relaxed) { BatchCompression.compress(&bytes) }
        let (base, isReplay, sync) = try state.withLock { state throws(LogError) in
            try state.checkWritable()
            if let rules, let known = try state.judge(rules, recordCount: recordCount) {
                return (known.value, true, PartitionState.SyncStart.none)
            }
            guard largestRecord <= state.options.maxRecordBytes else {
                throw .recordTooLarge(limit: state.options.maxRecordBytes)
            }
            guard isKeyed || !state.options.isCompacted else { throw .recordWithoutKey }
            if state.mustRevokeVouch || state.owesChain {
                throw wait(&state, throwing: .storageFull)
            }
            try rollIfFull(&state, adding: bytes.count, recordCount: recordCount)
            let base = state.end
            bytes.setBigEndian(base, at: 0)
            try write(&state, bytes.span)
            Self.count(
                &state, bytes.span, recordCount: recordCount, maxTimestamp: maxTimestamp)
            if let identity = rules?.identity {
                state.producers.note(
                    identity, at: Offset(base), recordCount: recordCount, now: time.now())
            }
            return (base, false, state.scheduleSync(isAwaited: isAwaited))
        }
        start(sync)
        return (Offset(base), isReplay)
    }

    private func write(_ state: inout PartitionState, _ bytes: Span<UInt8>) throws(LogError) {
        let active = state.segments.count - 1
        let position = state.segments[active].byteCount
        guard let file = state.segments[active].file else { throw .closed }
        do throws(DiskError) {
            try file.write(bytes, at: position)
        } catch {
            try cutBack(&state, file, to: position, after: error)
        }
    }

    private static func count(
        _ state: inout PartitionState, _ batch: Span<UInt8>, recordCount: Int, maxTimestamp: Int64
    ) {
        let byteCount = batch.count
        let active = state.segments.count - 1
        let position = state.segments[active].byteCount
        let base = state.segments[active].base
        let last = state.end + Int64(recordCount) - 1
        state.segments[active].indexes?.add(
            relativeOffset: last - base, maxTimestamp: maxTimestamp,
            position: position, byteCount: byteCount)
        state.segments[active].chain?.add(batch, nextOffset: last + 1)
        state.segments[active].byteCount = position + Int64(byteCount)
        state.segments[active].maxTimestamp = max(
            state.segments[active].maxTimestamp, maxTimestamp)
        state.end = last + 1
        state.statistics.appendedRecords &+= UInt64(recordCount)
        state.statistics.appendedBytes &+= UInt64(byteCount)
    }

    // MARK: - Rare

    /// Takes back what a failed write may have left. With no space left, that makes the file as it
    /// was, and later appends may work; any other error ends writing.
    private func cutBack(
        _ state: inout PartitionState, _ file: any DiskFile, to byteCount: Int64,
        after error: DiskError
    ) throws(LogError) {
        do throws(DiskError) {
            try file.truncate(to: byteCount)
        } catch {
            throw fail(&state, "\(error)")
        }
        guard error.isStorageFull else { throw fail(&state, "\(error)") }
        throw .storageFull
    }

    /// Stops all writing. The sync that is then queued tells those who wait.
    private func fail(_ state: inout PartitionState, _ words: String) -> LogError {
        state.status = .failed(words)
        return wait(&state, throwing: .failed(words))
    }

    /// Queues a round of the sync job, which does more than to sync.
    private func wait(_ state: inout PartitionState, throwing error: LogError) -> LogError {
        if !state.isSyncScheduled {
            state.isSyncScheduled = true
            workers.run { self.syncRounds() }
        }
        return error
    }

    private func rollIfFull(
        _ state: inout PartitionState, adding byteCount: Int, recordCount: Int
    ) throws(LogError) {
        let active = state.segments[state.segments.count - 1]
        guard active.byteCount > 0 else { return }
        let limit = min(state.options.segmentBytes, Limits.segmentBytes)
        let span = state.end - active.base + Int64(recordCount)
        guard active.byteCount + Int64(byteCount) > limit || span > Int64(Int32.max) else { return }
        try roll(&state)
    }

    /// Seals the active segment and starts one at the log end. What is appended to it counts as
    /// durable only after the sealed one and the directory entry are: see `syncOnce`.
    func roll(_ state: inout PartitionState) throws(LogError) {
        let file: any DiskFile
        let chain = SegmentChain(place(state.end))
        do throws(DiskError) {
            try ChainFile.begin(chain, disk, directory)
            file = try disk.open(path(state.end, SegmentName.log), .readWrite)
        } catch {
            // Nothing was written; with space or descriptors back, the next append may succeed.
            throw error.isStorageFull ? .storageFull : .disk(error)
        }
        var segment = Segment(base: state.end, file: file, openedAt: time.now())
        segment.indexes = SegmentIndexes()
        segment.chain = chain
        state.segments.append(segment)
        state.isDirectoryDirty = true
    }
}
