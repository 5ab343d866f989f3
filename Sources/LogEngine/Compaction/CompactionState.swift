import Platform

/// How far a partition is compacted, and since when: the file `compaction`, big-endian.
///
///     at  size  field
///      0     4  "MRCC"
///      4     4  version            1
///      8     4  checksum           CRC-32C of byte 12 to the end
///     12     4  flags              bit 0: below cleanedBefore are batches with a producer id
///     16     8  cleanedBefore      below it no two records have the same key
///     24     8  firstTombstone     the first below cleanedBefore, or 2^63 - 1
///     32     8  expiredBefore      tombstones below it have stood for their time
///     40     4  passCount
///     44    16  each pass:         before, milliseconds since
///
/// Where it is lost, all is compacted again and tombstones stay for another time.
struct CompactionState: Equatable, Sendable {
    /// What was below `before` had been compacted this long ago.
    struct Pass: Equatable, Sendable {
        var before: Int64
        /// Counted by earlier runs of the program.
        var millisecondsBefore: Int64
        /// When this run made or learned of it.
        var since: Instant

        func age(_ now: Instant) -> Int64 {
            millisecondsBefore &+ max(0, (now - since).wholeMilliseconds)
        }
    }

    var cleanedBefore: Int64 = 0
    var firstTombstone = Int64.max
    var expiredBefore: Int64 = 0
    var holdsProducers = false
    /// The oldest first, each with a higher `before`.
    private(set) var passes: [Pass] = []
    /// When it was last stored.
    var savedAt: Instant

    init(now: Instant) { savedAt = now }

    /// Whether dropping tombstones is due, whatever else there is to compact.
    var hasExpiredTombstone: Bool { firstTombstone < expiredBefore }
    /// Whether a clock runs for some tombstone.
    var isCounting: Bool { firstTombstone < .max && !passes.isEmpty }

    /// A pass is done. Past `Limits.compactionPasses` the oldest is forgotten: what it was about
    /// counts with the next one, which came later.
    mutating func add(passBefore before: Int64, now: Instant) {
        guard before > passes.last?.before ?? expiredBefore else { return }
        passes.append(Pass(before: before, millisecondsBefore: 0, since: now))
        if passes.count > Limits.compactionPasses { passes.removeFirst() }
    }

    /// Moves `expiredBefore` by the time that has passed.
    mutating func expire(after limit: Int64, now: Instant) {
        while let oldest = passes.first, oldest.age(now) > limit {
            expiredBefore = max(expiredBefore, oldest.before)
            passes.removeFirst()
        }
    }

    // MARK: - The file

    private static let headByteCount = 44
    private static let passByteCount = 16
    private static let magic: UInt32 = 0x4D52_4343
    private static let version: UInt32 = 1

    /// nil where the bytes are not a whole, intact file of this version.
    init?(_ bytes: Span<UInt8>, now: Instant) {
        guard bytes.count >= Self.headByteCount, bytes.uint32(at: 0) == Self.magic,
            bytes.uint32(at: 4) == Self.version,
            bytes.uint32(at: 8) == crc32c(bytes.extracting(12..<bytes.count))
        else { return nil }
        let count = Int(bytes.uint32(at: 40))
        guard count <= Limits.compactionPasses,
            bytes.count == Self.headByteCount + count * Self.passByteCount
        else { return nil }
        holdsProducers = bytes.uint32(at: 12) & 1 != 0
        cleanedBefore = bytes.int64(at: 16)
        firstTombstone = bytes.int64(at: 24)
        expiredBefore = bytes.int64(at: 32)
        savedAt = now
        for index in 0..<count {
            let at = Self.headByteCount + index * Self.passByteCount
            passes.append(
                Pass(
                    before: bytes.int64(at: at),
                    millisecondsBefore: max(0, bytes.int64(at: at + 8)), since: now))
        }
    }

    func encoded(_ now: Instant) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendBigEndian(Self.magic)
        bytes.appendBigEndian(Self.version)
        bytes.appendBigEndian(UInt32(0))
        bytes.appendBigEndian(UInt32(holdsProducers ? 1 : 0))
        bytes.appendBigEndian(cleanedBefore)
        bytes.appendBigEndian(firstTombstone)
        bytes.appendBigEndian(expiredBefore)
        bytes.appendBigEndian(UInt32(passes.count))
        for pass in passes {
            bytes.appendBigEndian(pass.before)
            bytes.appendBigEndian(pass.age(now))
        }
        bytes.setBigEndian(crc32c(bytes.span.extracting(12..<bytes.count)), at: 8)
        return bytes
    }

    /// What the file of the partition in `directory` says; a fresh state where it says nothing that
    /// can be trusted. Time goes on from when the partition was opened.
    static func load(
        _ disk: any Disk, _ directory: String, openedAt: Instant
    ) -> CompactionState {
        let path = directory + "/" + SegmentName.compaction
        let fresh = CompactionState(now: openedAt)
        guard disk.exists(path) else { return fresh }
        do throws(DiskError) {
            let file = try disk.open(path, .read)
            let limit = headByteCount + Limits.compactionPasses * passByteCount
            let byteCount = try file.byteCount()
            guard byteCount <= Int64(limit) else { return fresh }
            var bytes: [UInt8] = []
            try file.read(into: &bytes, count: Int(byteCount), at: 0)
            return CompactionState(bytes.span, now: openedAt) ?? fresh
        } catch {
            return fresh
        }
    }

    /// Puts the file in place, durably.
    mutating func store(
        _ disk: any Disk, _ directory: String, now: Instant
    ) throws(DiskError) {
        let draft = directory + "/" + SegmentName.compactionDraft
        let bytes = encoded(now)
        let file = try disk.open(draft, .readWrite)
        try file.truncate(to: 0)
        try file.write(bytes.span, at: 0)
        try file.sync()
        try disk.rename(draft, to: directory + "/" + SegmentName.compaction)
        try disk.syncDirectory(directory)
        savedAt = now
    }
}
