import Platform

/// What recovery learns from a segment's chain file, and how it mends the file.
extension Recovery {
    /// Walks a segment along its chain, and notes what is wrong with the chain file alone.
    mutating func examine(
        _ segment: Segment, _ file: any DiskFile, _ progress: (Int64) -> Void
    ) -> ChainedScan {
        let check = ChainedScan(
            file, byteCount: segment.byteCount, base: segment.base,
            gapsAllowedBefore: state.gapsAllowedBefore, disk: disk, directory: directory,
            progress: progress)
        if let words = check.note { note(segment.base, words) }
        if let origin = check.origin {
            damage = (
                LogMark(offset: segment.base, segment: segment.base, position: 0),
                "\(path(segment.base, SegmentName.log)) is the segment of \(origin)"
            )
        }
        return check
    }

    private mutating func note(_ base: Int64, _ words: String) {
        state.notes.append("\(path(base, SegmentName.log)): \(words); it is made anew")
    }

    /// After a clean stop: goes on with the chain of the active segment; nil where it must be made
    /// anew.
    mutating func resumeChain() {
        let last = state.segments.count - 1
        let base = state.segments[last].base
        guard let stored = ChainFile.load(disk, directory, base), stored.isWhole,
            stored.place == SegmentPlace(directory: directory, base: base)
        else { return }
        state.segments[last].chain = SegmentChain(
            resuming: stored, at: state.segments[last].byteCount)
    }

    mutating func remakeChain(_ scan: SegmentScan) {
        let last = state.segments.count - 1
        note(state.segments[last].base, "there is no chain file that fits")
        guard scan.ending == .complete else { return }
        state.segments[last].chain = scan.chain
        storeChain(last)
        do throws(DiskError) {
            try disk.syncDirectory(directory)
        } catch {
            state.status = .failed("\(error)")
        }
    }

    /// Chain files of segments that a power cut took: an emptied one may come back at the next, and
    /// say of the segment that will have this name that more of it was synced.
    func removeLostChains() throws(DiskError) {
        for name in names.sorted() {
            guard let base = SegmentName.base(name, suffix: SegmentName.chain),
                state.segmentIndex(base: base) == nil, disk.exists(directory + "/" + name)
            else { continue }
            try disk.remove(directory + "/" + name)
        }
    }

    /// Brings the chain file up to what the segment holds, which is synced, durably but for its
    /// name. The head is written again: see `writeAgain`.
    mutating func storeChain(_ index: Int) {
        if case .failed = state.status { return }
        guard let chain = state.segments[index].chain else { return }
        do throws(DiskError) {
            try ChainFile.begin(chain, disk, directory)
            try ChainFile.store(chain, disk, directory, isLast: true)
            state.segments[index].chain?.settle(chain)
        } catch {
            // Without it a hole that a power cut leaves in the active segment could not be told
            // from damage, so nothing is appended. A sealed one's is made anew.
            if index < state.segments.count - 1 {
                state.segments[index].chain = nil
            } else if error.isStorageFull {
                state.owesChain = true
            } else {
                state.status = .failed("\(error)")
            }
        }
    }

    /// Writes what an earlier run may not have synced once more, as it is. If a sync of that run
    /// failed, the cache calls those pages clean, shows them, and would lose them (fsyncgate).
    mutating func writeAgain(_ index: Int, from start: Int64, to end: Int64) {
        guard let file = state.segments[index].file else { return }
        var position = start
        do throws(DiskError) {
            while position < end {
                var bytes: [UInt8] = []
                let count = Int(min(Int64(Limits.scanChunk), end - position))
                try file.read(into: &bytes, count: count, at: position)
                guard !bytes.isEmpty else { return }
                try file.write(bytes.span, at: position)
                position += Int64(bytes.count)
            }
        } catch {
            state.status = .failed("\(error)")
        }
    }

    /// Copies what will be cut off, intact batches behind a hole, into a file that is set aside.
    /// False where it could not be.
    mutating func keepTail(_ index: Int, _ scan: SegmentScan) -> Bool {
        let segment = state.segments[index]
        guard let file = segment.file else { return false }
        let log = path(segment.base, SegmentName.log)
        let name = "\(log).\(scan.validEnd)\(SegmentName.lost)"
        do throws(DiskError) {
            let copy = try disk.open(name, .readWrite)
            try copy.truncate(to: 0)
            var position = scan.validEnd
            while position < segment.byteCount {
                var bytes: [UInt8] = []
                let count = Int(min(Int64(Limits.scanChunk), segment.byteCount - position))
                try file.read(into: &bytes, count: count, at: position)
                guard !bytes.isEmpty else { break }
                try copy.write(bytes.span, at: position - scan.validEnd)
                position += Int64(bytes.count)
            }
        } catch {
            return false
        }
        state.notes.append("\(log): what was never synced is cut off, and kept in \(name)")
        return true
    }
}
