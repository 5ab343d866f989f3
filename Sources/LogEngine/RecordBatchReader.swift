import Platform

/// Walks the records of whole batches, checking every length; bytes from a disk never trap.
package struct RecordBatchReader {
    /// What the ranges of the records returned since the last `next` point into.
    package private(set) var bytes: [UInt8]
    private let batches: [UInt8]
    private let areChecked: Bool
    /// Where the next batch begins in `batches`.
    private var nextBatch = 0
    /// The batch whose records come next, and where in `bytes` they stand.
    private var header: RecordBatchHeader?
    private var position = 0
    private var end = 0
    private var remaining: Int32 = 0
    private var previousDelta: Int64 = -1
    /// What `previousDelta` was before the last record.
    private var deltaBefore: Int64 = -1

    /// `batches` is a sequence of whole batches. Their CRCs are checked here, unless
    /// `areChecked`, as a read has done with what it returns.
    package init(_ batches: [UInt8], areChecked: Bool = false) {
        self.batches = batches
        self.areChecked = areChecked
        bytes = batches
    }

    /// The next record; nil at the end. Control batches are passed over.
    package mutating func next() throws(LogError) -> Record? {
        while remaining == 0 {
            guard try enterBatch() else { return nil }
        }
        guard let header else { return nil }
        var next = position
        let parsed = Self.parseRecord(
            bytes.span, at: &next, before: end, of: header, after: previousDelta)
        guard let record = parsed else {
            throw .damaged(at: Offset(header.baseOffset), "a record's lengths do not add up")
        }
        position = next
        deltaBefore = previousDelta
        previousDelta = record.offset.value - header.baseOffset
        remaining -= 1
        if remaining == 0, position != end {
            throw .damaged(at: Offset(header.baseOffset), "bytes behind the last record")
        }
        return record
    }

    /// Takes back the record that `next` returned last: it is the next one again.
    package mutating func putBack(_ record: Record) {
        position = record.encoded.lowerBound
        previousDelta = deltaBefore
        remaining += 1
    }

    /// Bytes it holds: what was read, and what a compressed batch of it opens to.
    package var heldBytes: Int { batches.count + (header?.codec == .gzip ? bytes.count : 0) }

    /// Behind the batch that was entered last, also where it holds no record; 0 before the first.
    package var nextOffset: Offset { Offset(header?.nextOffset ?? 0) }

    /// The record's headers in order: name and value as ranges of `bytes`.
    package func headers(of record: Record) -> [(name: Range<Int>, value: Range<Int>?)] {
        var headers: [(name: Range<Int>, value: Range<Int>?)] = []
        var position = record.headers.lowerBound
        let bytes = bytes.span
        let end = min(record.headers.upperBound, bytes.count)
        // A header takes two bytes at least; `next` has walked them before.
        headers.reserveCapacity(min(record.headerCount, max(0, end - position) / 2))
        for _ in 0..<max(0, record.headerCount) {
            guard let name = Self.field(bytes, at: &position, before: end), let name,
                let value = Self.field(bytes, at: &position, before: end)
            else { break }
            headers.append((name, value))
        }
        return headers
    }

    /// Moves on to the next batch with records; false at the end.
    private mutating func enterBatch() throws(LogError) -> Bool {
        guard nextBatch < batches.count else { return false }
        let place = Offset(header?.nextOffset ?? 0)
        guard let next = RecordBatchHeader(batches.span, at: nextBatch) else {
            throw .damaged(at: place, "no batch header at byte \(nextBatch) of what was read")
        }
        guard next.batchByteCount <= batches.count - nextBatch,
            areChecked || next.isIntact(batches.span, at: nextBatch)
        else {
            throw .damaged(at: Offset(next.baseOffset), "the batch's checksum does not match")
        }
        if let header, next.baseOffset <= header.lastOffset {
            throw .damaged(at: Offset(next.baseOffset), "offsets go backwards")
        }
        let start = nextBatch + RecordBatchHeader.byteCount
        nextBatch += next.batchByteCount
        header = next
        previousDelta = -1
        remaining = next.isControl ? 0 : next.recordCount
        guard remaining > 0 else { return true }
        try openRecords(of: next, in: start..<nextBatch)
        return true
    }

    /// Makes the records of the batch readable in `bytes`.
    private mutating func openRecords(
        of header: RecordBatchHeader, in range: Range<Int>
    ) throws(LogError) {
        let place = Offset(header.baseOffset)
        switch header.codec {
        case .none:
            bytes = batches
            (position, end) = (range.lowerBound, range.upperBound)
        case .gzip:
            do throws(GzipError) {
                bytes = try gunzip(
                    batches.span.extracting(range), limit: Limits.inflatedBytes)
            } catch { throw .damaged(at: place, "gzip: \(error)") }
            (position, end) = (0, bytes.count)
        case .snappy, .lz4, .zstd, .unknown:
            throw .damaged(at: place, "codec \(header.codec) is not readable here")
        }
    }

    private static func parseRecord(
        _ bytes: Span<UInt8>, at position: inout Int, before end: Int,
        of header: RecordBatchHeader, after previousDelta: Int64
    ) -> Record? {
        let start = position
        guard let length = Varint.read(bytes, at: &position, before: end),
            length >= 1, length <= Int64(end - position)
        else { return nil }
        let recordEnd = position + Int(length)
        let encoded = start..<recordEnd
        position += 1
        guard let timestampDelta = Varint.read(bytes, at: &position, before: recordEnd),
            let offsetDelta = Varint.read(bytes, at: &position, before: recordEnd),
            offsetDelta > previousDelta, offsetDelta <= Int64(header.lastOffsetDelta),
            let key = field(bytes, at: &position, before: recordEnd),
            let value = field(bytes, at: &position, before: recordEnd),
            let headerCount = Varint.read(bytes, at: &position, before: recordEnd),
            headerCount >= 0, headerCount <= Int64(recordEnd - position) / 2
        else { return nil }
        let headers = position..<recordEnd
        for _ in 0..<headerCount {
            guard let name = field(bytes, at: &position, before: recordEnd), name != nil,
                field(bytes, at: &position, before: recordEnd) != nil
            else { return nil }
        }
        guard position == recordEnd else { return nil }
        let timestamp =
            header.hasAppendTime
            ? header.maxTimestamp : header.baseTimestamp &+ timestampDelta
        return Record(
            offset: Offset(header.baseOffset + offsetDelta), timestamp: timestamp, key: key,
            value: value, headerCount: Int(headerCount), headers: headers, encoded: encoded)
    }

    /// A length and the bytes it counts: `.some(nil)` for the length -1, nil where it does not fit.
    @inline(__always)
    private static func field(
        _ bytes: Span<UInt8>, at position: inout Int, before end: Int
    ) -> Range<Int>?? {
        guard let length = Varint.read(bytes, at: &position, before: end) else { return nil }
        if length == -1 { return .some(nil) }
        guard length >= 0, length <= Int64(end - position) else { return nil }
        let range = position..<position + Int(length)
        position = range.upperBound
        return range
    }
}

/// One record of a batch, as ranges of `RecordBatchReader.bytes`.
package struct Record: Sendable {
    package var offset: Offset
    /// Milliseconds since 1970.
    package var timestamp: Int64
    package var key: Range<Int>?
    /// nil: a tombstone.
    package var value: Range<Int>?
    package var headerCount: Int
    package var headers: Range<Int>
    /// The whole record with its length.
    var encoded: Range<Int>
}
