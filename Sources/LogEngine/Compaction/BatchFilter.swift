import Platform

/// Decides which records of a batch stay, and writes the batch again without the others.
///
/// As Kafka's cleaner: a batch keeps its base offset, last offset, producer id, epoch and sequence,
/// whatever goes from inside it; each record that stays keeps its bytes. Other than there a batch
/// without records fills the place of those that go whole.
struct BatchFilter {
    let hash: KeyHash
    let map: OffsetMap
    /// The map knows the keys from the first uncompacted offset to here; from here on all stays.
    let mapEnd: Int64
    let logStart: Int64
    /// Tombstones below have stood for their time.
    let expiredBefore: Int64
    let lastBatches: LastBatches
    /// The first tombstone that stayed.
    private(set) var firstTombstone = Int64.max
    private(set) var holdsProducers = false
    /// Batches that did not stay as they were. Bytes do not tell: what loses a record and is
    /// compressed anew can be as long as before.
    private(set) var changedCount = 0
    /// A batch in a codec we cannot read has passed: a later tombstone may end one of its records.
    private var hasUnreadable = false
    /// Behind what was written of the segment so far.
    private var next: Int64 = 0

    init(
        hash: KeyHash, map: OffsetMap, mapEnd: Int64, logStart: Int64, expiredBefore: Int64,
        lastBatches: LastBatches
    ) {
        self.hash = hash
        self.map = map
        self.mapEnd = mapEnd
        self.logStart = logStart
        self.expiredBefore = expiredBefore
        self.lastBatches = lastBatches
    }

    /// A segment with this base offset begins.
    mutating func begin(at base: Int64) { next = base }

    /// Appends to `output` what stays of a checked batch. `isLast`: nothing follows in its segment.
    mutating func write(
        _ batch: [UInt8], _ header: RecordBatchHeader, isLast: Bool, to output: inout [UInt8]
    ) throws(LogError) {
        if let rest = try rest(of: batch, header) {
            fill(before: header.baseOffset, batch, to: &output)
            output.append(rest.span)
            next = header.nextOffset
            if header.producerID >= 0 { holdsProducers = true }
            if rest != batch { changedCount += 1 }
        } else {
            let isFiller = header.recordCount == 0 && header.producerID < 0
            if !isFiller { changedCount += 1 }
            if isLast { fill(before: header.nextOffset, batch, to: &output) }
        }
    }

    /// nil where nothing of the batch stays.
    private mutating func rest(
        of batch: [UInt8], _ header: RecordBatchHeader
    ) throws(LogError) -> [UInt8]? {
        guard !header.isControl, header.codec.isReadable else {
            hasUnreadable = hasUnreadable || !header.isControl
            return batch
        }
        var reader = RecordBatchReader(batch)
        var kept: [Range<Int>] = []
        var maxTimestamp = Int64.min
        while let record = try reader.next() {
            guard keeps(record, in: reader.bytes.span) else { continue }
            kept.append(record.encoded)
            maxTimestamp = max(maxTimestamp, record.timestamp)
        }
        if kept.isEmpty { return lastBatches.mustKeep(header) ? Self.emptied(batch) : nil }
        if kept.count == Int(header.recordCount) { return batch }
        return Self.rewrite(batch, header, reader.bytes.span, kept, maxTimestamp)
    }

    /// Puts one batch without records in the place of those that went, so that every offset is in
    /// some batch: the checksum does not cover a batch's base offset, and where gaps may be nobody
    /// would notice that a flipped bit has moved it.
    private mutating func fill(before end: Int64, _ model: [UInt8], to output: inout [UInt8]) {
        guard end > next else { return }
        var bytes = Array(model[..<RecordBatchHeader.byteCount])
        bytes.setBigEndian(next, at: 0)
        (bytes[21], bytes[22]) = (0, 0)
        bytes.setBigEndian(UInt32(truncatingIfNeeded: end - 1 - next), at: 23)
        // Two timestamps, producer id, epoch and base sequence: all -1 for none.
        for index in 27..<57 { bytes[index] = 0xFF }
        bytes.setBigEndian(UInt32(0), at: RecordBatchHeader.recordCountStart)
        RecordBatchHeader.seal(&bytes)
        output.append(bytes.span)
        next = end
    }

    private mutating func keeps(_ record: Record, in bytes: Span<UInt8>) -> Bool {
        let offset = record.offset.value
        guard offset >= logStart else { return false }
        // What has no key is overruled by nothing: it was appended before the topic was compacted.
        guard offset < mapEnd, let key = record.key else { return true }
        if let latest = map.latest(hash.hash(bytes.extracting(key))), latest > offset {
            return false
        }
        guard record.value == nil else { return true }
        if offset < expiredBefore { return hasUnreadable }
        firstTombstone = min(firstTombstone, offset)
        return true
    }

    /// The batch with some of its records only.
    private static func rewrite(
        _ batch: [UInt8], _ header: RecordBatchHeader, _ records: Span<UInt8>,
        _ kept: [Range<Int>], _ maxTimestamp: Int64
    ) -> [UInt8] {
        var bytes = Array(batch[..<RecordBatchHeader.byteCount])
        bytes.reserveCapacity(bytes.count + kept.reduce(0) { $0 + $1.count })
        for range in kept { bytes.append(records.extracting(range)) }
        bytes.setBigEndian(UInt32(kept.count), at: RecordBatchHeader.recordCountStart)
        bytes.setBigEndian(maxTimestamp, at: RecordBatchHeader.maxTimestampStart)
        RecordBatchHeader.setCodec(.none, in: &bytes)
        RecordBatchHeader.seal(&bytes)
        if header.codec == .gzip { BatchCompression.compress(&bytes) }
        return bytes
    }

    /// Its header alone.
    private static func emptied(_ batch: [UInt8]) -> [UInt8] {
        var bytes = Array(batch[..<RecordBatchHeader.byteCount])
        bytes.setBigEndian(UInt32(0), at: RecordBatchHeader.recordCountStart)
        RecordBatchHeader.setCodec(.none, in: &bytes)
        RecordBatchHeader.seal(&bytes)
        return bytes
    }
}

/// The last batch of each producer and key that the partition may still remember, which stays for
/// its sequence number though all its records go.
package struct LastBatches {
    private var producers: [Int64: Int64] = [:]
    private var keys: [Int64: Int64] = [:]
    /// Of each kind, at least as many as a `ProducerTable` remembers.
    private let most: Int

    package init(most: Int) { self.most = most }

    package mutating func note(_ header: RecordBatchHeader) {
        guard header.producerID >= 0 else { return }
        if header.producerID < BatchIdentity.firstKeyID {
            note(header, in: &producers)
        } else {
            note(header, in: &keys)
        }
    }

    /// Batches come by offset. Those of whom others have come behind are let go many at once.
    private func note(_ header: RecordBatchHeader, in lastOffsets: inout [Int64: Int64]) {
        lastOffsets[header.producerID] = header.lastOffset
        guard lastOffsets.count >= 2 * most else { return }
        let first = lastOffsets.values.sorted()[lastOffsets.count - most]
        lastOffsets = lastOffsets.filter { $0.value >= first }
    }

    package func mustKeep(_ header: RecordBatchHeader) -> Bool {
        let lastOffset = producers[header.producerID] ?? keys[header.producerID]
        return lastOffset.map { $0 <= header.lastOffset } ?? false
    }
}
