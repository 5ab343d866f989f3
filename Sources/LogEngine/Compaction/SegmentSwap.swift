import Platform

/// One compacted segment on its way into the place of one or more.
///
///  1. `<base>.log.cleaned` is written and synced.
///  2. It is renamed to `<base>-<end>.swap`, and the directory synced: it is whole, and says which
///     segments it is for.
///  3. A checkpoint that lists it instead of them is stored. From here on it counts.
///  4. Their indexes, chains and files are removed, but for the first's `.log`, and the directory
///     synced.
///  5. It is renamed to `<base>.log`, over the first, and the directory synced.
///
/// After a crash before step 3 the old segments are all there, and it is removed; after one behind
/// it steps 4 and 5 are done again. Readers hold the files they read.
struct SegmentSwap {
    var segment: Segment
    /// The base offset of the first segment that stays.
    var end: Int64
    /// The base offsets of those it replaces.
    var replaced: [Int64]

    static func name(_ base: Int64, _ end: Int64) -> String {
        SegmentName.file(base, "-") + SegmentName.file(end, SegmentName.swap)
    }

    /// The range a swap file's name says; nil for other names.
    static func range(_ name: String) -> Range<Int64>? {
        guard name.utf8.count == 41 + SegmentName.swap.utf8.count,
            let base = SegmentName.base(String(name.prefix(21)), suffix: "-"),
            let end = SegmentName.base(String(name.dropFirst(21)), suffix: SegmentName.swap),
            base < end
        else { return nil }
        return base..<end
    }

    /// Steps 4 and 5.
    static func finish(
        _ disk: any Disk, _ directory: String, base: Int64, end: Int64, names: Set<String>
    ) throws(DiskError) {
        for name in names.sorted() {
            for suffix in SegmentName.all {
                guard let other = SegmentName.base(name, suffix: suffix), other >= base,
                    other < end, other != base || suffix != SegmentName.log
                else { continue }
                try disk.remove(directory + "/" + name)
            }
        }
        try disk.syncDirectory(directory)
        try disk.rename(
            directory + "/" + name(base, end),
            to: directory + "/" + SegmentName.file(base, SegmentName.log))
        try disk.syncDirectory(directory)
    }

    /// Before a partition is opened: finishes or undoes what a crash has left; returns the names
    /// that are there then. Without a checkpoint either would do: the swap file is whole.
    static func settle(
        _ disk: any Disk, _ directory: String, _ names: Set<String>, _ checkpoint: Checkpoint?
    ) throws(DiskError) -> Set<String> {
        let left = names.filter { $0.hasSuffix(SegmentName.cleaned) || range($0) != nil }
        if left.isEmpty { return names }
        for name in left.sorted() {
            if let range = range(name), try counts(range, disk, directory + "/" + name, checkpoint)
            {
                try finish(
                    disk, directory, base: range.lowerBound, end: range.upperBound, names: names)
            } else {
                try disk.remove(directory + "/" + name)
            }
        }
        return Set(try disk.list(directory))
    }

    /// Whether step 3 was done.
    private static func counts(
        _ range: Range<Int64>, _ disk: any Disk, _ path: String, _ checkpoint: Checkpoint?
    ) throws(DiskError) -> Bool {
        guard let checkpoint else { return true }
        let listed = checkpoint.segments.filter { range.contains($0.base) }
        let byteCount = try disk.open(path, .read).byteCount()
        return listed.count == 1 && listed[0].base == range.lowerBound
            && listed[0].byteCount == byteCount
    }
}

extension PartitionState {
    /// Whether the segments a swap is for are there as they were, and may be replaced.
    func canReplace(_ swap: SegmentSwap) -> Bool {
        guard mayCompact, let first = segmentIndex(base: swap.segment.base) else { return false }
        let present = segments[first...].prefix { $0.base < swap.end }.map(\.base)
        return present == swap.replaced && swap.end <= durable.segment
    }

    mutating func replace(_ swap: SegmentSwap) {
        guard let first = segmentIndex(base: swap.segment.base) else { return }
        var segment = swap.segment
        generations += 1
        segment.generation = generations
        segment.isInPlace = false
        segments.replaceSubrange(first..<first + swap.replaced.count, with: [segment])
        marks.remove(segments: swap.segment.base..<swap.end)
    }
}

extension Partition {
    /// Steps 2 to 5, for a file that is written and synced. `.closed` where the segments are others
    /// by now, or compaction is not wanted any more; the file is removed then.
    func put(_ swap: SegmentSwap) throws(LogError) {
        let draft = path(swap.segment.base, SegmentName.cleaned)
        let error: LogError? = swapping.withLock { _ in
            guard state.withLock({ $0.canReplace(swap) }) else {
                discard(draft)
                return .closed
            }
            let file = directory + "/" + SegmentSwap.name(swap.segment.base, swap.end)
            do throws(DiskError) {
                try disk.rename(draft, to: file)
                try disk.syncDirectory(directory)
                try commit(swap)
            } catch {
                // Nothing is replaced; should the checkpoint have got through after all, the next
                // run finds the old files in place of what it lists, and looks at all of them.
                discard(draft)
                discard(file)
                return error.isStorageFull ? .storageFull : .disk(error)
            }
            do throws(DiskError) {
                try SegmentSwap.finish(
                    disk, directory, base: swap.segment.base, end: swap.end,
                    names: Set(try disk.list(directory)))
            } catch {
                // What counts is there under its other name, and open; the next run goes on here.
                return .failed("\(error)")
            }
            storeSidecars(of: swap.segment)
            return nil
        }
        if let error { throw error }
        let segment = state.withLock { state -> Segment? in
            guard let index = state.segmentIndex(base: swap.segment.base) else { return nil }
            state.segments[index].isInPlace = true
            return state.segments[index]
        }
        if let segment { keepOpen(segment, segment.file, segment.indexes) }
    }

    /// Step 3. No other checkpoint comes between the new list and the state that says the same.
    private func commit(_ swap: SegmentSwap) throws(DiskError) {
        try checkpointing.withLock { _ throws(DiskError) in
            let now = time.now()
            let checkpoint = state.withLock { state in
                state.recoveryPoint = max(state.recoveryPoint, state.durable.segment)
                var next = state
                next.replace(swap)
                return next.checkpoint(isClean: false, now: now)
            }
            try checkpoint.store(disk, directory)
            state.withLock { state in
                state.replace(swap)
                state.agesSavedAt = now
            }
        }
    }

    /// Indexes and the chain file of a segment that is in place; each is made anew where it is
    /// lost.
    private func storeSidecars(of segment: Segment) {
        segment.indexes?.store(disk, directory, segment.base)
        do throws(DiskError) {
            try ChainFile.rebuild(disk, directory, base: segment.base)
            try disk.syncDirectory(directory)
        } catch {
            // The scrubber makes it anew.
        }
    }

    func discard(_ path: String) {
        guard disk.exists(path) else { return }
        do throws(DiskError) { try disk.remove(path) } catch {
            // The next run removes it.
        }
    }
}
