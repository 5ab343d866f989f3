import Platform

/// The file `producers` of a partition: its `ProducerTable` as far as it was durable, big-endian.
///
///     at  size  field
///      0     4  "MRPS"
///      4     4  version            1
///      8     4  checksum           CRC-32C of byte 12 to the end
///     12     8  nextOffset         batches from here on are not in it
///     20     8  forgottenThrough   Int64.min: no key was forgotten
///     28     4  keyCount
///     32     4  producerCount
///     36    42  each key:          id, partitionCount (2), fingerprint (4), firstTried,
///                                  baseOffset, recordCount (4), age in milliseconds
///           20  each producer:     id, epoch (2), age in milliseconds, batchCount (2)
///           16    each batch:      sequence (4), baseOffset, recordCount (4)
///
/// Written as a draft, synced, renamed. Whether the old or the new one is there after a crash, the
/// log's batches from `nextOffset` on bring it up to date; where neither is, the whole log does.
struct ProducerSnapshot {
    var nextOffset: Int64
    var table: ProducerTable

    static let file = "producers"
    private static let draft = "producers.tmp"
    private static let magic: UInt32 = 0x4D52_5053
    private static let version: UInt32 = 1
    private static let headByteCount = 36
    private static let keyByteCount = 42
    private static let producerByteCount = 20
    private static let batchByteCount = 16

    init(nextOffset: Int64, table: ProducerTable) {
        self.nextOffset = nextOffset
        self.table = table
    }

    // MARK: - Bytes

    /// nil where the bytes are not a whole, intact snapshot of this version.
    init?(_ bytes: Span<UInt8>, now: Instant) {
        guard bytes.count >= Self.headByteCount, bytes.uint32(at: 0) == Self.magic,
            bytes.uint32(at: 4) == Self.version,
            bytes.uint32(at: 8) == crc32c(bytes.extracting(12..<bytes.count))
        else { return nil }
        nextOffset = bytes.int64(at: 12)
        table = ProducerTable()
        let forgotten = bytes.int64(at: 20)
        table.forgottenThrough = forgotten == .min ? nil : forgotten
        let keyCount = Int(bytes.uint32(at: 28))
        let producerCount = Int(bytes.uint32(at: 32))
        var at = Self.headByteCount
        guard keyCount <= (bytes.count - at) / Self.keyByteCount else { return nil }
        for _ in 0..<keyCount {
            let key = Self.key(bytes, at, now)
            table.keys[key.stamp.id] = key
            at += Self.keyByteCount
        }
        for _ in 0..<producerCount {
            guard let producer = Self.producer(bytes, &at, now) else { return nil }
            table.producers[producer.id] = producer.producer
        }
        guard at == bytes.count, nextOffset >= 0 else { return nil }
    }

    private static func key(
        _ bytes: Span<UInt8>, _ at: Int, _ now: Instant
    ) -> ProducerTable.Key {
        let stamp = KeyStamp(
            id: bytes.int64(at: at), partitionCount: bytes.int16(at: at + 8),
            fingerprint: bytes.int32(at: at + 10), firstTried: bytes.int64(at: at + 14))
        return ProducerTable.Key(
            stamp: stamp, baseOffset: bytes.int64(at: at + 22),
            recordCount: bytes.int32(at: at + 30),
            appendedAt: instant(bytes.int64(at: at + 34), before: now))
    }

    private static func producer(
        _ bytes: Span<UInt8>, _ at: inout Int, _ now: Instant
    ) -> (id: Int64, producer: ProducerTable.Producer)? {
        guard bytes.count - at >= producerByteCount else { return nil }
        let id = bytes.int64(at: at)
        let epoch = bytes.int16(at: at + 8)
        let appendedAt = instant(bytes.int64(at: at + 10), before: now)
        let count = Int(bytes.int16(at: at + 18))
        at += producerByteCount
        guard (1...Limits.batchesPerProducer).contains(count),
            bytes.count - at >= count * batchByteCount
        else { return nil }
        var batches: [ProducerTable.Batch] = []
        for _ in 0..<count {
            batches.append(
                ProducerTable.Batch(
                    sequence: bytes.int32(at: at), baseOffset: bytes.int64(at: at + 4),
                    recordCount: bytes.int32(at: at + 12)))
            at += batchByteCount
        }
        return (
            id, ProducerTable.Producer(epoch: epoch, batches: batches, appendedAt: appendedAt)
        )
    }

    func encoded(now: Instant) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(
            Self.headByteCount + table.keys.count * Self.keyByteCount
                + table.producers.count
                * (Self.producerByteCount + Limits.batchesPerProducer * Self.batchByteCount))
        bytes.appendBigEndian(Self.magic)
        bytes.appendBigEndian(Self.version)
        bytes.appendBigEndian(UInt32(0))
        bytes.appendBigEndian(nextOffset)
        bytes.appendBigEndian(table.forgottenThrough ?? .min)
        bytes.appendBigEndian(UInt32(table.keys.count))
        bytes.appendBigEndian(UInt32(table.producers.count))
        for key in table.keys.values {
            bytes.appendBigEndian(key.stamp.id)
            bytes.appendBigEndian(key.stamp.partitionCount)
            bytes.appendBigEndian(key.stamp.fingerprint)
            bytes.appendBigEndian(key.stamp.firstTried)
            bytes.appendBigEndian(key.baseOffset)
            bytes.appendBigEndian(key.recordCount)
            bytes.appendBigEndian((now - key.appendedAt).wholeMilliseconds)
        }
        for (id, producer) in table.producers {
            bytes.appendBigEndian(id)
            bytes.appendBigEndian(producer.epoch)
            bytes.appendBigEndian((now - producer.appendedAt).wholeMilliseconds)
            bytes.appendBigEndian(Int16(producer.batches.count))
            for batch in producer.batches {
                bytes.appendBigEndian(batch.sequence)
                bytes.appendBigEndian(batch.baseOffset)
                bytes.appendBigEndian(batch.recordCount)
            }
        }
        bytes.setBigEndian(crc32c(bytes.span.extracting(12..<bytes.count)), at: 8)
        return bytes
    }

    /// Ages of 300 years or below zero come from no clock; they count as one of these.
    private static func instant(_ age: Int64, before now: Instant) -> Instant {
        let bounded = min(max(0, age), 9_000_000_000_000)
        return Instant(nanoseconds: now.nanoseconds &- bounded &* 1_000_000)
    }

    // MARK: - Files

    /// nil where there is none that can be trusted.
    static func load(_ disk: any Disk, _ directory: String, now: Instant) -> ProducerSnapshot? {
        let path = directory + "/" + file
        guard disk.exists(path) else { return nil }
        do throws(DiskError) {
            let file = try disk.open(path, .read)
            let byteCount = try file.byteCount()
            guard byteCount <= Limits.snapshotBytes else { return nil }
            var bytes: [UInt8] = []
            try file.read(into: &bytes, count: Int(byteCount), at: 0)
            return ProducerSnapshot(bytes.span, now: now)
        } catch {
            // Unreadable counts as absent: the log says the same.
            return nil
        }
    }

    func store(_ disk: any Disk, _ directory: String, now: Instant) throws(DiskError) {
        let draft = directory + "/" + Self.draft
        let bytes = encoded(now: now)
        let file = try disk.open(draft, .readWrite)
        try file.truncate(to: 0)
        try file.write(bytes.span, at: 0)
        try file.sync()
        try disk.rename(draft, to: directory + "/" + Self.file)
    }
}
