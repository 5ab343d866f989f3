import Platform

/// Files and indexes of sealed segments, which are opened when someone reads them.
extension Partition {
    /// The segment's file, opened if need be. Blocks; for workers.
    func openFile(_ base: Int64) throws(LogError) -> any DiskFile {
        let known = state.withLock { state in
            state.segmentIndex(base: base).flatMap { state.segments[$0].file }
        }
        if let known { return known }
        let opened: any DiskFile
        do throws(DiskError) {
            opened = try disk.open(path(base, SegmentName.log), .read)
        } catch {
            throw error.isNotFound ? gone(base) : .disk(error)
        }
        keepOpen(base) { $0.file = opened }
        return opened
    }

    /// The segment's indexes, loaded or made from the log if need be, or in any case with `anew`.
    /// Blocks; for workers.
    func loadIndexes(_ base: Int64, anew: Bool = false) throws(LogError) -> SegmentIndexes {
        let (segment, gapsAllowedBefore) = state.withLock { state in
            (state.segmentIndex(base: base).map { state.segments[$0] }, state.gapsAllowedBefore)
        }
        guard let segment else { throw gone(base) }
        if let known = segment.indexes, !anew { return known }
        let byteCount = segment.byteCount
        let file = try openFile(base)
        if !anew, let indexes = SegmentIndexes.load(disk, directory, segment) {
            keepOpen(base) { $0.indexes = indexes }
            return indexes
        }
        let scan = SegmentScan(
            file, byteCount: byteCount, base: base, gapsAllowedBefore: gapsAllowedBefore)
        // The active segment has grown meanwhile; its own index, made in memory, is right.
        keepOpen(base) { if $0.byteCount == byteCount { $0.indexes = scan.indexes } }
        if scan.ending == .complete { scan.indexes.store(disk, directory, base) }
        return scan.indexes
    }

    /// After a roll: writes the indexes of the segments that were sealed and are durable now.
    func writeSealedIndexes() {
        let sealed: [(base: Int64, indexes: SegmentIndexes)] = state.withLock { state in
            var sealed: [(base: Int64, indexes: SegmentIndexes)] = []
            for segment in state.segments.dropLast().reversed() {
                guard segment.base < state.durable.segment, let indexes = segment.indexes,
                    !state.openSealed.contains(segment.base)
                else { break }
                sealed.append((segment.base, indexes))
            }
            return sealed
        }
        for segment in sealed.reversed() {
            segment.indexes.store(disk, directory, segment.base)
            keepOpen(segment.base) { _ in }
        }
    }

    /// Notes what was opened, and lets go of the sealed segment that was used longest ago if there
    /// are too many. Who still reads it holds its file.
    private func keepOpen(_ base: Int64, _ change: (inout Segment) -> Void) {
        state.withLock { state in
            guard let index = state.segmentIndex(base: base) else { return }
            change(&state.segments[index])
            guard base < state.durable.segment else { return }
            state.openSealed.removeAll { $0 == base }
            state.openSealed.append(base)
            guard state.openSealed.count > Limits.openSealedSegments else { return }
            let oldest = state.openSealed.removeFirst()
            guard let evicted = state.segmentIndex(base: oldest) else { return }
            state.segments[evicted].file = nil
            state.segments[evicted].indexes = nil
        }
    }

    /// What a call says that meant a segment which is no longer there.
    private func gone(_ base: Int64) -> LogError {
        state.withLock { state in
            if case .closed = state.status { return .closed }
            if base < state.logStart || state.segmentIndex(base: base) == nil {
                return .offsetTrimmed(earliest: Offset(state.logStart))
            }
            return .damaged(at: Offset(base), "the segment's file is missing")
        }
    }
}
