import Platform

/// What a walk over a segment file found: every batch whole, intact and in order, up to `validEnd`.
struct SegmentScan {
    enum Ending: Equatable {
        /// The file ends with its last batch.
        case complete
        /// What follows is no batch, and no batch is behind it: a write that a crash cut short.
        case torn
        /// What follows is not what was written: an intact batch stands at `validAt`.
        case damaged(validAt: Int64)
        /// Batches behind `validEnd` are intact, and not those that were written here.
        case misplaced
        /// The disk refuses to give what follows.
        case unreadable(DiskError)
    }

    private(set) var validEnd: Int64 = 0
    private(set) var nextOffset: Int64
    private(set) var maxTimestamp = Int64.min
    private(set) var indexes = SegmentIndexes()
    private(set) var ending = Ending.complete
    /// Offsets that no record has, between batches of this file.
    private(set) var hasGap = false
    /// The chain at `validEnd`, where one was given to go on with.
    private(set) var chain: SegmentChain?
    /// Marks of the chain file that are not reached yet, and the last that was.
    private var marks: ArraySlice<ChainMark>
    private(set) var verified: ChainMark?
    private let base: Int64
    private let gapsAllowedBefore: Int64
    private var expected: Int64

    /// Walks `file`, whose first record must have the offset `base` or a later one. Offsets without
    /// a record are taken below `gapsAllowedBefore` only, where compaction has been. `progress`
    /// gets the bytes scanned since its last call. `chain`, not begun yet, is made and held against
    /// `marks`.
    init(
        _ file: any DiskFile, byteCount: Int64, base: Int64, gapsAllowedBefore: Int64,
        chain: SegmentChain? = nil, marks: [ChainMark] = [],
        progress: (Int64) -> Void = { _ in },
        visit: (RecordBatchHeader, _ position: Int64) -> Void = { _, _ in }
    ) {
        self.base = base
        self.gapsAllowedBefore = gapsAllowedBefore
        self.chain = chain
        self.marks = marks[...]
        nextOffset = base
        expected = base
        var window = ScanWindow(file, byteCount: byteCount)
        var reported: Int64 = 0
        do throws(DiskError) {
            while validEnd < byteCount {
                guard try window.holds(RecordBatchHeader.byteCount, at: validEnd) else { break }
                let header = RecordBatchHeader(window.bytes.span, at: window.index(of: validEnd))
                guard let header, try window.holds(header.batchByteCount, at: validEnd) else {
                    break
                }
                let isNext = isNext(header)
                guard isNext, header.isIntact(window.bytes.span, at: window.index(of: validEnd))
                else { break }
                visit(header, validEnd)
                take(header)
                guard isInPlace() else { return }
                if validEnd - reported >= Int64(Limits.scanChunk) {
                    progress(validEnd - reported)
                    reported = validEnd
                }
            }
            progress(validEnd - reported)
            guard validEnd < byteCount else { return }
            let found = try Self.findBatch(&window, from: validEnd, byteCount: byteCount)
            ending = found.map { .damaged(validAt: $0) } ?? .torn
        } catch {
            ending = .unreadable(error)
        }
    }

    private func isNext(_ header: RecordBatchHeader) -> Bool {
        // An index holds 31 bits of the distance to the base; no segment spans more.
        guard header.baseOffset >= expected, header.lastOffset - base <= Int64(Int32.max) else {
            return false
        }
        return header.baseOffset == expected || header.baseOffset < gapsAllowedBefore
    }

    private mutating func take(_ header: RecordBatchHeader) {
        if header.baseOffset != expected { hasGap = true }
        indexes.add(
            relativeOffset: header.lastOffset - base, maxTimestamp: header.maxTimestamp,
            position: validEnd, byteCount: header.batchByteCount)
        chain?.add(header)
        maxTimestamp = max(maxTimestamp, header.maxTimestamp)
        validEnd += Int64(header.batchByteCount)
        nextOffset = header.nextOffset
        expected = header.nextOffset
    }

    /// False where the chain is not what a mark says: then only what is in front of the last mark
    /// that agreed counts, though the indexes know more.
    private mutating func isInPlace() -> Bool {
        guard let chain else { return true }
        while let mark = marks.first, mark.position <= validEnd {
            guard mark == chain.end else {
                ending = .misplaced
                validEnd = verified?.position ?? 0
                nextOffset = base + (verified?.relativeOffset ?? 0)
                return false
            }
            verified = mark
            marks.removeFirst()
        }
        return true
    }

    /// The first place from `start` on where an intact batch stands, whatever its offsets.
    ///
    /// The bytes may be a client's, made to look like many large batches; beyond a budget of
    /// checksums the answer is the place where it ran out: refusing to cut is the safe side.
    private static func findBatch(
        _ window: inout ScanWindow, from start: Int64, byteCount: Int64
    ) throws(DiskError) -> Int64? {
        var budget = Limits.searchWork + Int(byteCount - start) * Limits.searchWorkPerByte
        var position = start
        while byteCount - position >= Int64(RecordBatchHeader.byteCount) {
            guard try window.holds(RecordBatchHeader.byteCount, at: position) else { return nil }
            // Skip on to the next magic byte in what the window holds.
            let low = window.index(of: position) + 16
            let high = window.bytes.count - (RecordBatchHeader.byteCount - 17)
            let magic = Self.magicByte(window.bytes.span, in: low..<max(low, high))
            position += Int64(magic - low)
            if magic >= high { continue }
            let header = RecordBatchHeader(window.bytes.span, at: magic - 16)
            if let header, Int64(header.batchByteCount) <= byteCount - position {
                budget -= header.batchByteCount
                if budget < 0 { return position }
                if try window.holds(header.batchByteCount, at: position),
                    header.isIntact(window.bytes.span, at: window.index(of: position))
                {
                    return position
                }
            }
            position += 1
        }
        return nil
    }

    /// The first place in `range` where a byte is 2, else its end.
    private static func magicByte(_ bytes: Span<UInt8>, in range: Range<Int>) -> Int {
        var index = range.lowerBound
        while index < range.upperBound, bytes[index] != 2 { index += 1 }
        return index
    }
}

/// A piece of a file in memory that moves and grows with what is asked for.
struct ScanWindow {
    private let file: any DiskFile
    private let byteCount: Int64
    private(set) var bytes: [UInt8] = []
    /// Where in the file `bytes` begins.
    private var start: Int64 = 0

    init(_ file: any DiskFile, byteCount: Int64) {
        self.file = file
        self.byteCount = byteCount
        bytes.reserveCapacity(Int(min(byteCount, Int64(Limits.scanChunk))))
    }

    /// Where in `bytes` the byte at `position` of the file is.
    func index(of position: Int64) -> Int { Int(position - start) }

    /// Makes `count` bytes from `position` on present; false where the file has fewer.
    mutating func holds(_ count: Int, at position: Int64) throws(DiskError) -> Bool {
        guard Int64(count) <= byteCount - position else { return false }
        if position >= start, position + Int64(count) <= start + Int64(bytes.count) { return true }
        start = position
        bytes.removeAll(keepingCapacity: true)
        let wanted = Int(min(byteCount - position, Int64(max(count, Limits.scanChunk))))
        try file.read(into: &bytes, count: wanted, at: position)
        return bytes.count >= count
    }
}
