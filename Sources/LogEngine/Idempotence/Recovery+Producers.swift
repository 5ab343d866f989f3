import Platform

extension Recovery {
    /// Brings back the table of producers and keys: from the snapshot, and from the headers of the
    /// batches behind it. Without a snapshot from all batches there are, or, where a checkpoint
    /// says that nobody sent an identity before the recovery point, from those behind that; after
    /// a clean stop there are none either.
    ///
    /// Where damage ends the log early a snapshot may know more than the log, and is believed: what
    /// is behind the damage was appended, and is not to be appended elsewhere.
    mutating func recallProducers(isVouched: Bool = false) {
        var from = state.segments.first?.base ?? 0
        let snapshot: ProducerSnapshot?
        do throws(DiskError) {
            snapshot = try ProducerSnapshot.load(disk, directory, now: now)
        } catch {
            return isUnknown(error)
        }
        if let snapshot, snapshot.nextOffset <= state.end || damage != nil {
            state.producers = snapshot.table
            from = snapshot.nextOffset
            snapshotEnd = from
        } else if let checkpoint, !checkpoint.hasProducers, snapshot == nil {
            from = isVouched ? state.end : max(from, checkpoint.recoveryPoint)
        }
        let firstBase = state.segments.first?.base ?? 0
        if state.hasProducers, from < firstBase || snapshot == nil, firstBase > 0 {
            // Batches are gone that no snapshot remembers.
            state.producers.forgottenThrough = max(
                state.producers.forgottenThrough ?? .min, wallMilliseconds)
        }
        guard from < state.end else { return }
        for index in state.segments.indices[state.segmentIndex(holding: from)...] {
            do throws(DiskError) { try replay(state.segments[index], from: from) } catch {
                return isUnknown(error)
            }
        }
        if !state.producers.isEmpty { state.hasProducers = true }
    }

    /// Who wrote what cannot be read, and a snapshot of the rest would make that last: nothing is
    /// written until a start can read it.
    private mutating func isUnknown(_ error: DiskError) {
        if case .open = state.status { state.status = .failed("\(error)") }
    }

    /// Stores what was recalled and is durable, unless the snapshot found reaches into the last
    /// segment: retention may take those before it, and a second crash then finds neither.
    mutating func storeProducers() {
        guard case .open = state.status, state.durable.offset == state.end,
            snapshotEnd ?? -1 < state.durable.segment, !state.producers.isEmpty,
            let snapshot = state.producerSnapshot()
        else { return }
        do throws(DiskError) {
            try snapshot.store(disk, directory, now: now)
        } catch {
            // The one before stays, or none: the log says the same for now.
        }
    }

    private mutating func replay(_ segment: Segment, from: Int64) throws(DiskError) {
        let path = directory + "/" + SegmentName.file(segment.base, SegmentName.log)
        let file: any DiskFile
        if let open = segment.file { file = open } else { file = try disk.open(path, .read) }
        var window = ScanWindow(file, byteCount: segment.byteCount)
        var position: Int64 = 0
        while try window.holds(RecordBatchHeader.byteCount, at: position),
            let header = RecordBatchHeader(window.bytes.span, at: window.index(of: position))
        {
            position += Int64(header.batchByteCount)
            // Behind damage bytes are only that.
            guard header.baseOffset < state.end else { return }
            guard header.baseOffset >= from, let identity = BatchIdentity(header) else { continue }
            // Not `recordCount`: compaction may have taken records out.
            state.producers.note(
                identity, at: Offset(header.baseOffset),
                recordCount: Int(header.lastOffsetDelta) + 1, now: now)
        }
    }
}
