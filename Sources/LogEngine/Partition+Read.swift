import Platform

extension Partition {
    // MARK: - Hot path

    /// Whole batches below the high watermark from the one that holds `offset` on: one at least,
    /// then while they fit in `maxBytes`. Checked against their CRC. Empty at the high watermark.
    ///
    /// Tries without waiting for the disk, and only then takes a worker.
    package func read(from offset: Offset, maxBytes: Int) async throws(LogError) -> [UInt8] {
        if let bytes = try readNow(from: offset, maxBytes: maxBytes) { return bytes }
        let result = await workers.value {
            Result { () throws(LogError) in
                try self.fetch(from: offset.value, maxBytes: maxBytes, mayWait: true)
            }
        }
        return try result.get() ?? []
    }

    /// The same as far as it can be read at once; nil where the disk would have to be waited for.
    package func readNow(from offset: Offset, maxBytes: Int) throws(LogError) -> [UInt8]? {
        try fetch(from: offset.value, maxBytes: maxBytes, mayWait: false)
    }

    private func fetch(
        from offset: Int64, maxBytes: Int, mayWait: Bool
    ) throws(LogError) -> [UInt8]? {
        guard var place = try locate(offset) else { return [] }
        let maxBytes = min(max(maxBytes, 1), Limits.readBytes)
        var reading = BatchReading(offset: offset, maxBytes: maxBytes)
        var isIndexFresh = false
        while true {
            if place.file == nil || place.start == nil {
                guard mayWait else { return nil }
                guard try open(&place, for: reading.offset) else {
                    // Deleted, or made one with the segments before it.
                    guard reading.bytes.isEmpty, let again = try locate(offset) else { break }
                    place = again
                    continue
                }
            }
            guard try take(&reading, at: place, mayWait: mayWait) else { return nil }
            if reading.damage != nil, reading.bytes.isEmpty, place.isFromIndex, !isIndexFresh {
                // The index may be what is damaged: it leads to a place where no batch begins.
                guard mayWait else { return nil }
                _ = try open(&place, for: offset, anew: true)
                reading = BatchReading(offset: offset, maxBytes: maxBytes)
                isIndexFresh = true
                continue
            }
            if reading.isFull { break }
            guard let next = place.nextBase, let following = try locate(reading.offset, in: next)
            else { break }
            place = following
        }
        return try finish(reading, place)
    }

    /// Finds the file, and in it the place of `offset`; false where the segment is gone.
    private func open(
        _ place: inout ReadPlace, for offset: Int64, anew: Bool = false
    ) throws(LogError) -> Bool {
        guard let segment = try openSegment(place.base, anew: anew) else { return false }
        let known = place.generation == segment.generation && !anew ? place.start : nil
        place.file = segment.file
        place.start = known ?? segment.indexes.offsets.start(for: offset, base: place.base)
        place.isFromIndex = place.isFromIndex || known == nil
        place.end = segment.end
        place.generation = segment.generation
        place.gapsAllowedBefore = segment.gapsAllowedBefore
        return true
    }

    /// Takes from one segment; false where it would wait and may not.
    private func take(
        _ reading: inout BatchReading, at place: ReadPlace, mayWait: Bool
    ) throws(LogError) -> Bool {
        guard let file = place.file, let start = place.start else { return false }
        do throws(DiskError) {
            return try reading.take(
                file, from: start, to: place.end, mayWait: mayWait,
                gapsAllowedBefore: place.gapsAllowedBefore)
        } catch {
            throw .disk(error)
        }
    }

    /// Hands the bytes out, or says what is wrong where there are none.
    private func finish(_ reading: BatchReading, _ place: ReadPlace) throws(LogError) -> [UInt8] {
        if reading.bytes.isEmpty {
            // What is below the high watermark is in some batch, unless compaction took it.
            let isGone = reading.offset >= place.gapsAllowedBefore
            if let words = reading.damage ?? (isGone ? "no batch has the offset" : nil) {
                throw .damaged(at: Offset(reading.offset), words)
            }
        }
        state.withLock { state in
            if let end = reading.end, state.generation(of: place.base) == place.generation {
                state.marks.insert(
                    LogMark(offset: reading.offset, segment: place.base, position: end))
            }
            state.statistics.readBytes &+= UInt64(reading.bytes.count)
        }
        return reading.bytes
    }

    /// Where a read of `offset` begins; nil where there is nothing to read yet.
    private func locate(_ offset: Int64) throws(LogError) -> ReadPlace? {
        try state.withLock { state throws(LogError) in
            if case .closed = state.status { throw .closed }
            guard offset >= state.logStart else {
                throw .offsetTrimmed(earliest: Offset(state.logStart))
            }
            if offset >= state.durable.offset {
                // Behind what is shown there may be what was acknowledged: an end it is not.
                switch state.status {
                case .damaged(let at, let words): throw .damaged(at: Offset(at), words)
                case .failed(let words): throw .failed(words)
                case .open, .closed: break
                }
                guard offset <= state.end else {
                    throw .offsetOutOfRange(latest: Offset(state.end))
                }
                return nil
            }
            let index = state.segmentIndex(holding: offset)
            state.segments[index].isRead = true
            return Self.place(state, of: offset, in: index)
        }
    }

    /// The same for the segment behind the one that was read to its end.
    private func locate(_ offset: Int64, in base: Int64) throws(LogError) -> ReadPlace? {
        state.withLock { state in
            guard let index = state.segmentIndex(base: base), state.readableEnd(index) > 0 else {
                return nil
            }
            return Self.place(state, of: max(offset, base), in: index)
        }
    }

    private static func place(
        _ state: PartitionState, of offset: Int64, in index: Int
    ) -> ReadPlace {
        let segment = state.segments[index]
        var start: BatchStart?
        var isFromIndex = false
        if offset == segment.base {
            start = BatchStart(position: 0, next: offset)
        } else if let mark = state.marks.mark(of: offset), mark.segment == segment.base {
            start = BatchStart(position: mark.position, next: offset)
        } else {
            start = segment.indexes?.offsets.start(for: offset, base: segment.base)
            isFromIndex = true
        }
        let next = index + 1 < state.segments.count ? state.segments[index + 1].base : nil
        return ReadPlace(
            base: segment.base, file: segment.file, start: start, isFromIndex: isFromIndex,
            end: state.readableEnd(index), nextBase: next,
            gapsAllowedBefore: state.gapsAllowedBefore, generation: segment.generation)
    }
}

/// A piece of a segment to read, and who keeps its file alive meanwhile.
private struct ReadPlace: Sendable {
    var base: Int64
    var file: (any DiskFile)?
    /// nil: the index has to be asked.
    var start: BatchStart?
    var isFromIndex: Bool
    /// Where durable bytes end.
    var end: Int64
    var nextBase: Int64?
    var gapsAllowedBefore: Int64
    /// Of the segment that `file`, `start` and `end` belong to.
    var generation: Int
}

/// Batches on their way from one or more segments to a reader.
struct BatchReading {
    /// Whole, checked batches; while `take` runs, with what else was read.
    private(set) var bytes: [UInt8] = []
    /// The first offset that is still wanted.
    private(set) var offset: Int64
    /// Where in the last segment the batches end; nil while none were taken.
    private(set) var end: Int64?
    /// What is wrong with the batch that should have come next.
    private(set) var damage: String?
    private(set) var isFull = false
    private let maxBytes: Int

    init(offset: Int64, maxBytes: Int) {
        self.offset = offset
        self.maxBytes = maxBytes
    }

    /// Takes batches of one segment, from `start`, which is at or before the wanted one, to
    /// `limit`. False where it would wait and may not; the reading is of no use then.
    mutating func take(
        _ file: any DiskFile, from start: BatchStart, to limit: Int64, mayWait: Bool,
        gapsAllowedBefore: Int64
    ) throws(DiskError) -> Bool {
        let before = bytes.count
        // In `bytes`: the first batch to keep, and where the next one begins.
        var kept = before
        var cursor = before
        var order = BatchOrder(start, gapsAllowedBefore: gapsAllowedBefore)
        defer {
            bytes.removeLast(bytes.count - cursor)
            bytes.removeSubrange(before..<kept)
        }
        var wanted = max(maxBytes - before, Limits.readChunk)
        while true {
            let position = start.position + Int64(cursor - before)
            guard position < limit else { break }
            let rest = SourceRange(file: file, position: position, limit: limit, mayWait: mayWait)
            guard try fill(rest, cursor, RecordBatchHeader.byteCount, atLeast: wanted) else {
                return false
            }
            wanted = Limits.readChunk
            guard let header = RecordBatchHeader(bytes.span, at: cursor),
                Int64(header.batchByteCount) <= limit - position
            else { return stop("no batch at byte \(position) of its segment") }
            let count = header.batchByteCount
            let isWanted = header.lastOffset >= offset
            if isWanted, before + cursor - kept + count > maxBytes, before + cursor > kept {
                isFull = true
                return true
            }
            guard try fill(rest, cursor, count, atLeast: count) else { return false }
            if let words = fault(header, at: cursor, &order) { return stop(words) }
            cursor += count
            if isWanted {
                offset = header.nextOffset
                end = position + Int64(count)
                if before + cursor - kept >= maxBytes { break }
            } else {
                kept = cursor
            }
        }
        isFull = before + cursor - kept >= maxBytes
        return true
    }

    private mutating func stop(_ words: String) -> Bool {
        damage = words
        isFull = true
        return true
    }

    private struct SourceRange {
        var file: any DiskFile
        var position: Int64
        var limit: Int64
        var mayWait: Bool
    }

    /// Makes `count` bytes of the source, or all it has, stand in `bytes` from `index` on; where
    /// any are missing, reads `atLeast` so many.
    private mutating func fill(
        _ source: SourceRange, _ index: Int, _ count: Int, atLeast: Int
    ) throws(DiskError) -> Bool {
        let present = bytes.count - index
        let available = source.limit - source.position
        guard Int64(present) < min(Int64(count), available) else { return true }
        let missing = Int(min(Int64(max(count, atLeast)), available)) - present
        let from = source.position + Int64(present)
        if source.mayWait {
            try source.file.read(into: &bytes, count: missing, at: from)
            return true
        }
        return try source.file.readIfCached(into: &bytes, count: missing, at: from)
    }

    /// What is wrong with a batch, in words; nil if nothing is.
    private func fault(
        _ header: RecordBatchHeader, at index: Int, _ order: inout BatchOrder
    ) -> String? {
        guard header.isIntact(bytes.span, at: index) else { return "its checksum does not match" }
        if let words = order.take(header) { return words }
        return header.baseOffset > offset && !order.mayGap(before: header)
            ? "the offset is missing" : nil
    }
}
