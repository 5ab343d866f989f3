import Platform

/// A segment to read from, as one moment saw it: file, indexes and length fit each other, whatever
/// compaction puts in its place meanwhile.
struct OpenSegment: Sendable {
    var file: any DiskFile
    var indexes: SegmentIndexes
    /// Where durable bytes end.
    var end: Int64
    var generation: Int
    var gapsAllowedBefore: Int64
}

/// Files and indexes of sealed segments, which are opened when someone reads them.
extension Partition {
    /// The segment that begins at `base`, opened, its indexes loaded or made from the log if need
    /// be, or in any case with `anew`; nil where there is none any more: it was deleted, or
    /// compaction made it one with those before it. Blocks; for workers.
    func openSegment(_ base: Int64, anew: Bool = false) throws(LogError) -> OpenSegment? {
        while true {
            let found: (segment: Segment, end: Int64, gaps: Int64)? = state.withLock { state in
                state.segmentIndex(base: base).map {
                    (state.segments[$0], state.readableEnd($0), state.gapsAllowedBefore)
                }
            }
            guard let (segment, end, gaps) = found else { return nil }
            if let file = segment.file, let indexes = segment.indexes, !anew {
                return OpenSegment(
                    file: file, indexes: indexes, end: end, generation: segment.generation,
                    gapsAllowedBefore: gaps)
            }
            guard let file = try file(of: segment) else { continue }
            let (indexes, isNew) = indexes(of: segment, file, gaps, anew: anew)
            // Where another took its place meanwhile, what was opened may be of either.
            guard keepOpen(segment, file, indexes) else { continue }
            if isNew { storeIndexes(indexes, of: segment) }
            return OpenSegment(
                file: file, indexes: indexes, end: end, generation: segment.generation,
                gapsAllowedBefore: gaps)
        }
    }

    /// nil where the file is gone because the segment is.
    private func file(of segment: Segment) throws(LogError) -> (any DiskFile)? {
        if let file = segment.file { return file }
        do throws(DiskError) {
            return try disk.open(path(segment.base, SegmentName.log), .read)
        } catch {
            guard error.isNotFound else { throw .disk(error) }
            let (isThere, isClosed) = state.withLock { state in
                if case .closed = state.status { return (true, true) }
                return (state.generation(of: segment.base) == segment.generation, false)
            }
            if isClosed { throw .closed }
            guard isThere else { return nil }
            throw .damaged(at: Offset(segment.base), "the segment's file is missing")
        }
    }

    /// The segment's indexes, and whether they were made from the log, whole.
    private func indexes(
        of segment: Segment, _ file: any DiskFile, _ gapsAllowedBefore: Int64, anew: Bool
    ) -> (SegmentIndexes, isNew: Bool) {
        if !anew {
            if let known = segment.indexes { return (known, false) }
            if let loaded = SegmentIndexes.load(disk, directory, segment) { return (loaded, false) }
        }
        let scan = SegmentScan(
            file, byteCount: segment.byteCount, base: segment.base,
            gapsAllowedBefore: gapsAllowedBefore)
        return (scan.indexes, scan.ending == .complete)
    }

    /// Notes what was opened, within the budget. False where the segment is another by now.
    @discardableResult
    func keepOpen(
        _ segment: Segment, _ file: (any DiskFile)?, _ indexes: SegmentIndexes?
    ) -> Bool {
        let (isThere, isNew) = state.withLock { state in
            let base = segment.base
            guard let index = state.segmentIndex(base: base),
                state.segments[index].generation == segment.generation
            else { return (false, false) }
            // The active segment's own index, made in memory, has grown meanwhile and is right.
            if base < state.durable.segment || state.segments[index].indexes == nil {
                state.segments[index].file = file
                state.segments[index].indexes = indexes
            }
            guard base < state.durable.segment, segment.isInPlace, !state.segments[index].isCounted
            else { return (true, false) }
            state.segments[index].isCounted = true
            state.segments[index].isRead = false
            return (true, true)
        }
        if isNew { openSegments.add(self, segment, indexes) }
        return isThere
    }

    /// After a roll: writes the indexes of the segments that were sealed and are durable now.
    func writeSealedIndexes() {
        let sealed: [Segment] = state.withLock { state in
            var sealed: [Segment] = []
            for segment in state.segments.dropLast().reversed() {
                guard segment.base < state.durable.segment, segment.indexes != nil,
                    !segment.isCounted
                else { break }
                sealed.append(segment)
            }
            return sealed
        }
        for segment in sealed.reversed() {
            guard let indexes = segment.indexes else { continue }
            storeIndexes(indexes, of: segment)
            keepOpen(segment, segment.file, indexes)
        }
    }

    /// Writes the index files of a segment, unless compaction has put another in its place: an
    /// index of the old one would lead readers of the new one past records.
    func storeIndexes(_ indexes: SegmentIndexes, of segment: Segment) {
        swapping.withLock { _ in
            if note(indexes.checksum, of: segment) { indexes.store(disk, directory, segment.base) }
        }
    }

    /// Between a roll's sync and its checkpoint, which tells the next run what the files hold.
    func noteIndexChecksums(before active: Int64) {
        let sealed = state.withLock { state in
            state.segments[state.segmentIndex(holding: state.durable.segment)...]
                .filter { $0.base < active }
        }
        for segment in sealed {
            if let indexes = segment.indexes { note(indexes.checksum, of: segment) }
        }
    }

    /// False where another segment is in its place by now.
    @discardableResult
    func note(_ indexChecksum: UInt32, of segment: Segment) -> Bool {
        state.withLock { state in
            guard let index = state.segmentIndex(base: segment.base),
                state.segments[index].generation == segment.generation
            else { return false }
            state.segments[index].indexChecksum = indexChecksum
            return true
        }
    }
}
