import Platform

extension Recovery {
    /// Brings back the table of producers and keys: from the snapshot, and from the headers of the
    /// batches behind it. Without a snapshot from all batches there are, or, where a checkpoint
    /// says that nobody sent an identity before the recovery point, from those behind that; after
    /// a clean stop there are none either.
    mutating func recallProducers(isVouched: Bool = false) {
        var from = state.segments.first?.base ?? 0
        let snapshot = ProducerSnapshot.load(disk, directory, now: now)
        if let snapshot, snapshot.nextOffset <= state.end {
            state.producers = snapshot.table
            from = snapshot.nextOffset
        } else if let checkpoint, !checkpoint.hasProducers, snapshot == nil {
            from = isVouched ? state.end : max(from, checkpoint.recoveryPoint)
        }
        if state.hasProducers, from < state.segments.first?.base ?? 0 || snapshot == nil,
            state.logStart > 0
        {
            // Batches are gone that no snapshot remembers.
            state.producers.forgottenThrough = max(
                state.producers.forgottenThrough ?? .min, wallMilliseconds)
        }
        guard from < state.end else { return }
        for index in state.segments.indices[state.segmentIndex(holding: from)...] {
            do throws(DiskError) { try replay(state.segments[index], from: from) } catch {
                // What cannot be read now will be missed when someone reads it. Keys in it are not
                // known, and a producer whose last batch is in it is told so.
                state.producers.forgottenThrough = max(
                    state.producers.forgottenThrough ?? .min, wallMilliseconds)
            }
        }
        if !state.producers.isEmpty { state.hasProducers = true }
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
            guard header.baseOffset >= from, let identity = BatchIdentity(header) else { continue }
            // Not `recordCount`: compaction may have taken records out.
            state.producers.note(
                identity, at: Offset(header.baseOffset),
                recordCount: Int(header.lastOffsetDelta) + 1, now: now)
        }
    }
}
