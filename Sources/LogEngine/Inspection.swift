package import Platform

/// A segment file, looked at without opening its partition: for `millrace log`, on our files and on
/// any that Kafka wrote.
package struct SegmentInspection {
    /// What ends the run of intact batches.
    package enum Ending: Equatable, Sendable {
        case complete
        /// Bytes at the end that are no batch, with none behind: a write that a crash cut short.
        case torn(byteCount: Int64)
        /// Bytes that are not what was written: an intact batch stands behind them, at `validAt`.
        case damaged(validAt: Int64)
        /// Intact batches that are not those which the chain file knows.
        case misplaced
        case unreadable(DiskError)
    }

    package var batchCount = 0
    package var recordCount: Int64 = 0
    /// Where the run of intact batches ends, in bytes.
    package var validByteCount: Int64 = 0
    /// Behind the last record of that run.
    package var nextOffset: Int64
    package var ending = Ending.complete

    /// Walks the file and calls `visit` with each intact batch, its place and its bytes. Gaps
    /// between offsets are taken, as compaction leaves them. `base` nil: that of the first batch.
    package init(
        _ path: String, disk: any Disk, base: Int64? = nil,
        visit: (RecordBatchHeader, _ position: Int64, _ bytes: [UInt8]) -> Void
    ) throws(DiskError) {
        let file = try disk.open(path, .read)
        let byteCount = try file.byteCount()
        var head: [UInt8] = []
        try file.read(into: &head, count: RecordBatchHeader.byteCount, at: 0)
        let first = RecordBatchHeader(head.span)
        let base = base ?? first?.baseOffset ?? 0
        nextOffset = base
        var batchCount = 0
        var recordCount: Int64 = 0
        let walk = { (header: RecordBatchHeader, position: Int64) in
            batchCount += 1
            recordCount += Int64(header.recordCount)
            var bytes: [UInt8] = []
            do throws(DiskError) {
                try file.read(into: &bytes, count: header.batchByteCount, at: position)
            } catch {
                bytes = []
            }
            visit(header, position, bytes)
        }
        let scan = SegmentScan(
            file, byteCount: byteCount, base: base, gapsAllowedBefore: .max, visit: walk)
        self.batchCount = batchCount
        self.recordCount = recordCount
        validByteCount = scan.validEnd
        nextOffset = scan.nextOffset
        switch scan.ending {
        case .complete: ending = .complete
        case .torn: ending = .torn(byteCount: byteCount - scan.validEnd)
        case .damaged(let validAt): ending = .damaged(validAt: validAt)
        case .misplaced: ending = .misplaced
        case .unreadable(let error): ending = .unreadable(error)
        }
    }
}

/// What a look at a partition's directory found, without changing it.
package struct PartitionVerdict {
    package struct Finding: Equatable, Sendable {
        /// A crash leaves it and the next start mends it; all else is damage.
        package var isHarmless: Bool
        package var file: String
        package var words: String
    }

    package private(set) var segmentCount = 0
    package private(set) var batchCount = 0
    package private(set) var byteCount: Int64 = 0
    package private(set) var findings: [Finding] = []
    private let disk: any Disk
    private let directory: String
    private let checkpoint: Checkpoint?
    private var nextOffset: Int64?

    /// Reads every byte of every segment. Run it on a stopped server's directory: what a running
    /// one writes meanwhile would look torn.
    package init(_ directory: String, disk: any Disk) throws(DiskError) {
        self.disk = disk
        self.directory = directory
        let names = try disk.list(directory)
        checkpoint = try Checkpoint.load(disk, directory)
        if names.contains(SegmentName.checkpoint), checkpoint == nil {
            find(SegmentName.checkpoint, "is not what was written", isHarmless: false)
        }
        let bases = names.compactMap { SegmentName.base($0, suffix: SegmentName.log) }.sorted()
        findMissing(bases)
        for base in bases { try verify(base, isLast: base == bases.last) }
        for name in names where name.hasSuffix(SegmentName.lost) {
            find(name, "was set aside by a recovery: never acknowledged", isHarmless: true)
        }
        for name in names
        where name.hasSuffix(SegmentName.cleaned) || name.hasSuffix(SegmentName.swap) {
            find(name, "is of a compaction that a crash cut short", isHarmless: true)
        }
    }

    /// Of segments the checkpoint knows, as a start would look for them.
    private mutating func findMissing(_ bases: [Int64]) {
        guard let checkpoint else {
            if bases.isEmpty { find("*" + SegmentName.log, "are missing", isHarmless: false) }
            return
        }
        if bases.isEmpty, checkpoint.isClean, checkpoint.logStart == checkpoint.nextOffset {
            return
        }
        var wanted = checkpoint.segments.map(\.base)
        if wanted.last ?? -1 < checkpoint.recoveryPoint { wanted.append(checkpoint.recoveryPoint) }
        for (index, base) in wanted.enumerated() where !bases.contains(base) {
            // One that lay wholly before the log start is gone for good reason.
            if index + 1 < wanted.count, wanted[index + 1] <= checkpoint.logStart { continue }
            find(SegmentName.file(base, SegmentName.log), "is missing", isHarmless: false)
        }
    }

    private mutating func verify(_ base: Int64, isLast: Bool) throws(DiskError) {
        let name = SegmentName.file(base, SegmentName.log)
        var indexes = SegmentIndexes()
        let file = try disk.open(directory + "/" + name, .read)
        let fileByteCount = try file.byteCount()
        let check = ChainedScan(
            file, byteCount: fileByteCount, base: base, gapsAllowedBefore: .max, disk: disk,
            directory: directory,
            visit: { header, position in
                indexes.add(
                    relativeOffset: header.lastOffset - base, maxTimestamp: header.maxTimestamp,
                    position: position, byteCount: header.batchByteCount)
                batchCount += 1
            })
        let scan = check.scan
        if let words = check.note { find(name, words + "; it is made anew", isHarmless: true) }
        if let origin = check.origin {
            find(name, "is the segment of \(origin)", isHarmless: false)
        }
        segmentCount += 1
        byteCount += scan.validEnd
        if let nextOffset, base != nextOffset {
            find(
                name, "begins at \(base), the segment before ends at \(nextOffset)",
                isHarmless: false)
        }
        nextOffset = scan.nextOffset
        judge(check, name, base, fileByteCount, isLast: isLast)
        verifyIndex(base, indexes)
    }

    private mutating func judge(
        _ check: ChainedScan, _ name: String, _ base: Int64, _ fileByteCount: Int64, isLast: Bool
    ) {
        let scan = check.scan
        let isLost = scan.validEnd < check.stored?.syncedEnd ?? 0
        let place = "from byte \(scan.validEnd), offset \(scan.nextOffset), on"
        switch scan.ending {
        case .complete where isLost:
            find(name, "is cut short \(place): it was synced beyond", isHarmless: false)
        case .complete: break
        case .torn:
            let isVouched = checkpoint?.segments.contains { $0.base == base } ?? false
            find(
                name, "\(fileByteCount - scan.validEnd) bytes \(place) are no batch",
                isHarmless: isLast && !isVouched && !isLost)
        case .damaged(let validAt):
            find(
                name, "is damaged \(place); the next intact batch is at byte \(validAt)",
                isHarmless: false)
        case .misplaced:
            find(name, "has other batches \(place) than were written here", isHarmless: false)
        case .unreadable(let error):
            find(name, "cannot be read \(place): \(error)", isHarmless: false)
        }
        if let vouched = checkpoint?.segments.first(where: { $0.base == base }),
            vouched.byteCount > scan.validEnd
        {
            find(
                name, "had \(vouched.byteCount) bytes when it was last vouched for",
                isHarmless: false)
        }
    }

    /// An index is made anew where it is missing or wrong, so neither is damage.
    private mutating func verifyIndex(_ base: Int64, _ fresh: SegmentIndexes) {
        let name = SegmentName.file(base, SegmentName.index)
        let path = directory + "/" + name
        guard disk.exists(path) else { return }
        do throws(DiskError) {
            let file = try disk.open(path, .read)
            let byteCount = try file.byteCount()
            var bytes: [UInt8] = []
            try file.read(into: &bytes, count: Int(min(byteCount, 64 << 20)), at: 0)
            let wanted = fresh.offsets.encoded
            if !wanted.starts(with: bytes) {
                find(
                    name, "does not fit its segment; it is made anew when needed", isHarmless: true)
            }
        } catch {
            find(name, "cannot be read: \(error)", isHarmless: true)
        }
    }

    private mutating func find(_ file: String, _ words: String, isHarmless: Bool) {
        findings.append(Finding(isHarmless: isHarmless, file: file, words: words))
    }
}
