import Platform

/// Decides which records of a batch stay, and writes the batch again without the others.
///
/// As Kafka's cleaner: a batch keeps its base offset, last offset, producer id, epoch and sequence,
/// whatever goes from inside it; each record that stays keeps its bytes.
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

    /// Appends to `output` what stays of a checked batch. `isLast`: nothing follows in its segment,
    /// so at least its header stays, and no offset is without a batch at or behind it.
    mutating func write(
        _ batch: [UInt8], _ header: RecordBatchHeader, isLast: Bool, to output: inout [UInt8]
    ) throws(LogError) {
        let before = output.count
        if header.isControl || !header.codec.isReadable {
            hasUnreadable = hasUnreadable || !header.isControl
            output.append(batch.span)
        } else {
            var reader = RecordBatchReader(batch)
            var kept: [Range<Int>] = []
            var maxTimestamp = Int64.min
            while let record = try reader.next() {
                guard keeps(record, in: reader.bytes.span) else { continue }
                kept.append(record.encoded)
                maxTimestamp = max(maxTimestamp, record.timestamp)
            }
            if kept.count == Int(header.recordCount), !kept.isEmpty {
                output.append(batch.span)
            } else if !kept.isEmpty {
                output.append(
                    Self.rewrite(batch, header, reader.bytes.span, kept, maxTimestamp).span)
            } else if isLast || lastBatches.mustKeep(header) {
                output.append(Self.emptied(batch).span)
            }
        }
        if output.count > before, header.producerID >= 0 { holdsProducers = true }
        let isSame = output.count - before == batch.count && output[before...].elementsEqual(batch)
        if !isSame { changedCount += 1 }
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
