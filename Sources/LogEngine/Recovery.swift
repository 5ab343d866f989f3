import Platform

/// The steps of opening one partition, as `Partition.open` lists them.
struct Recovery {
    let directory: String
    let disk: any Disk
    let now: Instant
    let wallMilliseconds: Int64
    let checkpoint: Checkpoint?
    var state: PartitionState
    /// The file names found.
    let names: Set<String>
    /// The end of the snapshot of producers that was found; nil: none.
    var snapshotEnd: Int64?
    /// What is wrong, found before or while scanning; nil while nothing is.
    var damage: (mark: LogMark, words: String)?

    init(
        _ directory: String, disk: any Disk, now: Instant, wallMilliseconds: Int64,
        options: PartitionOptions
    ) throws(DiskError) {
        self.directory = directory
        self.disk = disk
        self.now = now
        self.wallMilliseconds = wallMilliseconds
        checkpoint = try Checkpoint.load(disk, directory)
        names = try SegmentSwap.settle(disk, directory, Set(try disk.list(directory)), checkpoint)
        let bases = names.compactMap { SegmentName.base($0, suffix: SegmentName.log) }.sorted()
        let start = checkpoint?.logStart ?? bases.first ?? 0
        state = PartitionState(
            options: options, segments: bases.map { Segment(base: $0, openedAt: now) },
            logStart: start, end: start,
            durable: LogMark(offset: start, segment: start, position: 0),
            recoveryPoint: checkpoint?.recoveryPoint ?? 0,
            // Without a checkpoint nothing says whether compaction has been here.
            gapsAllowedBefore: checkpoint?.gapsAllowedBefore ?? (bases.isEmpty ? 0 : .max),
            openedAt: now, agesSavedAt: now)
        state.hasProducers = checkpoint?.hasProducers ?? false
    }

    mutating func run(_ progress: (Int64) -> Void) throws(DiskError) {
        try dropRemoved()
        try measure()
        let vouched = checkpoint.flatMap { isVouchedFor($0) ? $0 : nil }
        revokeVouch()
        if let checkpoint { recall(checkpoint) }
        if state.segments.isEmpty {
            try createFirst()
        } else if let vouched {
            try openActive(nextOffset: vouched.nextOffset)
            recallProducers(isVouched: true)
            storeProducers()
            return
        } else {
            findMissing()
            if damage == nil { scan(progress) }
        }
        if let damage {
            stop(at: damage.mark, damage.words)
            recallProducers()
        } else {
            recallProducers()
            try makeDurable()
        }
        closeSealed()
    }

    func path(_ base: Int64, _ suffix: String) -> String {
        directory + "/" + SegmentName.file(base, suffix)
    }

    // MARK: - Files

    /// Segments wholly before the log start: a removal that a crash undid, or that never came to
    /// it. Never the one of the recovery point: what follows it may not be whole.
    private mutating func dropRemoved() throws(DiskError) {
        guard let checkpoint else { return }
        let kept = min(checkpoint.logStart, checkpoint.recoveryPoint)
        while state.segments.count > 1, state.segments[1].base <= kept {
            let base = state.segments.removeFirst().base
            for suffix in SegmentName.all {
                let name = SegmentName.file(base, suffix)
                if names.contains(name) { try disk.remove(directory + "/" + name) }
            }
        }
    }

    private mutating func measure() throws(DiskError) {
        for index in state.segments.indices {
            let file = try disk.open(path(state.segments[index].base, SegmentName.log), .read)
            state.segments[index].byteCount = try file.byteCount()
        }
    }

    private func isVouchedFor(_ checkpoint: Checkpoint) -> Bool {
        checkpoint.isClean && checkpoint.segments.count == state.segments.count
            && !state.segments.isEmpty
            && zip(checkpoint.segments, state.segments).allSatisfy {
                $0.base == $1.base && $0.byteCount == $1.byteCount
            }
    }

    private mutating func revokeVouch() {
        guard var checkpoint, checkpoint.isClean else { return }
        checkpoint.isClean = false
        checkpoint.segments.removeAll { $0.base >= checkpoint.recoveryPoint }
        do throws(DiskError) {
            try checkpoint.store(disk, directory)
        } catch {
            if error.isStorageFull {
                state.mustRevokeVouch = true
            } else {
                state.status = .failed("\(error)")
            }
        }
    }

    /// What the checkpoint knows about segments beside their size.
    private mutating func recall(_ checkpoint: Checkpoint) {
        var known = checkpoint.segments[...]
        for index in state.segments.indices {
            let base = state.segments[index].base
            while let first = known.first, first.base < base { known.removeFirst() }
            guard let first = known.first, first.base == base else { continue }
            state.segments[index].maxTimestamp = first.maxTimestamp
            state.segments[index].idleBefore = max(0, first.idleMilliseconds)
            state.segments[index].indexChecksum = first.indexChecksum
        }
    }

    private mutating func createFirst() throws(DiskError) {
        let next = checkpoint?.nextOffset ?? 0
        try createSegment(at: next)
        if let checkpoint, checkpoint.logStart < next {
            let mark = LogMark(offset: checkpoint.logStart, segment: next, position: 0)
            damage = (mark, "all segment files are missing")
        }
    }

    private mutating func createSegment(at base: Int64) throws(DiskError) {
        let file = try disk.open(path(base, SegmentName.log), .readWrite)
        var segment = Segment(base: base, file: file, openedAt: now)
        segment.indexes = SegmentIndexes()
        segment.chain = SegmentChain(SegmentPlace(directory: directory, base: base))
        state.segments.append(segment)
        state.end = base
    }

    /// Opens the last segment without scanning it, unless its indexes are gone.
    private mutating func openActive(nextOffset: Int64) throws(DiskError) {
        let last = state.segments.count - 1
        let segment = state.segments[last]
        let file = try disk.open(path(segment.base, SegmentName.log), .readWrite)
        state.segments[last].file = file
        state.end = nextOffset
        state.durable = LogMark(
            offset: nextOffset, segment: segment.base, position: segment.byteCount)
        state.segments[last].indexes = SegmentIndexes.load(disk, directory, segment)
        resumeChain()
        if state.segments[last].indexes != nil, state.segments[last].chain != nil { return }
        let scan = SegmentScan(
            file, byteCount: segment.byteCount, base: segment.base,
            gapsAllowedBefore: state.gapsAllowedBefore,
            chain: SegmentChain(SegmentPlace(directory: directory, base: segment.base)))
        state.segments[last].indexes = scan.indexes
        if state.segments[last].chain == nil { remakeChain(scan) }
    }

    // MARK: - Scanning

    /// Looks for segments the checkpoint knows that are gone, or have not the size they were sealed
    /// with: from there on everything is scanned.
    private mutating func findMissing() {
        guard let checkpoint else { return }
        let sealed = checkpoint.segments.filter { $0.base < checkpoint.recoveryPoint }
        for (index, known) in sealed.enumerated() {
            let next = index + 1 < sealed.count ? sealed[index + 1].base : checkpoint.recoveryPoint
            if next <= checkpoint.logStart { continue }
            guard let found = state.segmentIndex(base: known.base) else {
                return isMissing(known.base)
            }
            if state.segments[found].byteCount != known.byteCount {
                state.recoveryPoint = min(state.recoveryPoint, known.base)
            }
        }
        if state.segmentIndex(base: checkpoint.recoveryPoint) == nil {
            isMissing(checkpoint.recoveryPoint)
        }
    }

    private mutating func isMissing(_ base: Int64) {
        let before = state.segments.last { $0.base < base }
        let mark = LogMark(
            offset: base, segment: before?.base ?? base, position: before?.byteCount ?? 0)
        damage = (mark, "the file \(path(base, SegmentName.log)) is missing")
    }

    private mutating func scan(_ progress: (Int64) -> Void) {
        var index = state.segmentIndex(holding: state.recoveryPoint)
        while index < state.segments.count {
            let segment = state.segments[index]
            let file: any DiskFile
            do throws(DiskError) {
                file = try disk.open(path(segment.base, SegmentName.log), .readWrite)
            } catch {
                let mark = LogMark(offset: segment.base, segment: segment.base, position: 0)
                damage = (mark, "\(error)")
                return
            }
            let check = examine(segment, file, progress)
            let (scan, stored) = (check.scan, check.stored)
            state.segments[index].file = file
            state.segments[index].chain = scan.chain
            stored.map { state.segments[index].chain?.keep($0) }
            state.segments[index].maxTimestamp = scan.maxTimestamp
            state.segments[index].indexes = scan.indexes
            state.end = scan.nextOffset
            guard damage == nil else { return }
            let goesOn = judge(scan, stored, at: index)
            writeAgain(index, from: stored?.syncedEnd ?? 0, to: scan.validEnd)
            guard goesOn else { return }
            if index + 1 < state.segments.count { seal(index) }
            index += 1
        }
    }

    /// Decides about the end of the segment at `index`; false where recovery ends with it.
    private mutating func judge(
        _ scan: SegmentScan, _ stored: StoredChain?, at index: Int
    ) -> Bool {
        let path = path(state.segments[index].base, SegmentName.log)
        let following = index + 1 < state.segments.count ? state.segments[index + 1].base : nil
        let isTail = following.map(isUnacknowledged) ?? true
        let isEndKnown = stored != nil || isUnacknowledged(state.segments[index].base)
        let isLost =
            scan.validEnd < stored?.syncedEnd ?? 0
            || isTail && scan.nextOffset < checkpoint?.nextOffset ?? 0
        let words: String
        switch scan.ending {
        case .complete where isLost, .torn where isLost, .damaged where isLost:
            words = "\(path) was synced beyond byte \(scan.validEnd), where no batch is"
        case .complete:
            guard let following, following != scan.nextOffset else { return true }
            if following > scan.nextOffset, isUnacknowledged(following) {
                setAside(after: index)
                return false
            }
            if following > scan.nextOffset, following <= state.gapsAllowedBefore { return true }
            words =
                "\(path) ends with offset \(scan.nextOffset - 1), the next file begins elsewhere"
        case .torn:
            if isTail { return takeBack(after: index, scan) }
            words = "byte \(scan.validEnd) of \(path) is no batch, and more files follow"
        case .damaged where isTail && isEndKnown && keepTail(index, scan):
            return takeBack(after: index, scan)
        case .damaged(let validAt):
            words =
                "byte \(scan.validEnd) of \(path) is damaged; a batch follows at byte \(validAt)"
        case .misplaced:
            words = "from byte \(scan.validEnd) on \(path) has other batches than were written"
        case .unreadable(let error):
            words = "byte \(scan.validEnd) of \(path): \(error)"
        }
        let mark = LogMark(
            offset: scan.nextOffset, segment: state.segments[index].base, position: scan.validEnd)
        damage = (mark, words)
        return false
    }

    /// The high watermark passes into a segment only after a checkpoint has its base offset as
    /// recovery point (`Partition.syncOnce`): what is in later segments was never shown or
    /// acknowledged.
    private func isUnacknowledged(_ base: Int64) -> Bool {
        guard let checkpoint, base > checkpoint.recoveryPoint else { return false }
        // Without space for the checkpoint it passed all the same; the chain knows.
        return ChainFile.load(disk, directory, base)?.syncedEnd ?? 0 == 0
    }

    /// Cuts off what was never acknowledged: where the segment at `index` ends, so does the log.
    private mutating func takeBack(after index: Int, _ scan: SegmentScan) -> Bool {
        cut(index, to: scan.validEnd)
        setAside(after: index)
        return false
    }

    private mutating func cut(_ index: Int, to byteCount: Int64) {
        state.segments[index].byteCount = byteCount
        do throws(DiskError) {
            try state.segments[index].file?.truncate(to: byteCount)
        } catch {
            state.status = .failed("\(error)")
        }
    }

    /// Renames later segments, which nothing was promised about; the one at `index` becomes the
    /// last.
    private mutating func setAside(after index: Int) {
        while state.segments.count > index + 1 {
            let name = path(state.segments.removeLast().base, SegmentName.log)
            do throws(DiskError) {
                try disk.rename(name, to: name + SegmentName.lost)
            } catch {
                state.status = .failed("\(error)")
            }
        }
    }

    /// A scanned segment with another behind it: durable now, opened again by its first reader.
    private mutating func seal(_ index: Int) {
        do throws(DiskError) {
            try state.segments[index].file?.sync()
        } catch {
            state.status = .failed("\(error)")
        }
        if let indexes = state.segments[index].indexes {
            indexes.store(disk, directory, state.segments[index].base)
            state.segments[index].indexChecksum = indexes.checksum
        }
        storeChain(index)
        state.segments[index].chain = nil
        state.segments[index].file = nil
        state.segments[index].indexes = nil
    }

    // MARK: - The end

    /// Syncs what was found, and only then counts it as durable.
    private mutating func makeDurable() throws(DiskError) {
        if case .failed = state.status { return serveBeforeRecoveryPoint() }
        do throws(DiskError) {
            try state.segments.last?.file?.sync()
            storeChain(state.segments.count - 1)
            try removeLostChains()
            try disk.syncDirectory(directory)
        } catch {
            state.status = .failed("\(error)")
            return serveBeforeRecoveryPoint()
        }
        let last = state.segments[state.segments.count - 1]
        state.durable = LogMark(
            offset: state.end, segment: last.base, position: last.byteCount)
        state.recoveryPoint = last.base
        if state.gapsAllowedBefore == .max { state.gapsAllowedBefore = state.end }
        storeProducers()
        do throws(DiskError) {
            try state.checkpoint(isClean: false, now: now).store(disk, directory)
        } catch {
            // Without space the old one stays, and says less; other errors end writing.
            if !error.isStorageFull { state.status = .failed("\(error)") }
        }
    }

    /// Where damage is: what is in front of it is shown once it is durable.
    private mutating func stop(at mark: LogMark, _ words: String) {
        if let index = state.segmentIndex(base: mark.segment) {
            do throws(DiskError) {
                try state.segments[index].file?.sync()
            } catch {
                state.status = .failed("\(error)")
            }
        }
        if case .failed = state.status { return serveBeforeRecoveryPoint() }
        state.status = .damaged(at: mark.offset, words)
        state.end = mark.offset
        state.durable = mark
    }

    /// Where syncing failed: only what an earlier run had synced is shown.
    private mutating func serveBeforeRecoveryPoint() {
        let offset = max(checkpoint?.recoveryPoint ?? 0, state.logStart)
        let segment = state.segments[state.segmentIndex(holding: offset)].base
        state.durable = LogMark(offset: offset, segment: segment, position: 0)
        state.end = max(state.end, offset)
    }

    private mutating func closeSealed() {
        for index in state.segments.indices.dropLast() {
            state.segments[index].file = nil
            state.segments[index].indexes = nil
            state.segments[index].chain = nil
        }
    }
}
