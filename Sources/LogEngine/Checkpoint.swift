import Platform

/// The file `checkpoint` of a partition: what recovery cannot learn from the segments, big-endian.
///
///     at  size  field
///      0     4  "MRCP"
///      4     4  version            2
///      8     4  checksum           CRC-32C of byte 12 to the end
///     12     4  flags              bit 0: a clean stop vouches for every segment listed;
///                            bit 1: somebody sent producer ids, see `ProducerSnapshot`
///     16     8  logStart           the first offset that may be read
///     24     8  nextOffset         no record to come has a lower one
///     32     8  recoveryPoint      base offset; segments before it were synced whole
///     40     8  gapsAllowedBefore  below this offset some may be in no batch
///     48     4  segmentCount
///     52    40  each segment:      base, byteCount, maxTimestamp, idle milliseconds, checksum of
///                                  the index files (-1: not known)
///
/// Of version 1, which is read as well, segments have no checksum.
/// Written as a draft, synced, renamed, and the directory synced: after a crash the old or the new
/// is there. Where neither is, everything is scanned and nothing deleted.
struct Checkpoint: Equatable {
    struct SealedSegment: Equatable {
        var base: Int64
        var byteCount: Int64
        var maxTimestamp: Int64
        var idleMilliseconds: Int64
        var indexChecksum: UInt32?
    }

    var isClean: Bool
    var logStart: Int64
    var nextOffset: Int64
    var recoveryPoint: Int64
    var gapsAllowedBefore: Int64
    var hasProducers: Bool
    /// By base offset: those before the recovery point; after a clean stop all.
    var segments: [SealedSegment]

    static let headByteCount = 52
    static let segmentByteCount = 40
    private static let magic: UInt32 = 0x4D52_4350
    private static let version: UInt32 = 2

    init(
        isClean: Bool, logStart: Int64, nextOffset: Int64, recoveryPoint: Int64,
        gapsAllowedBefore: Int64, hasProducers: Bool = false, segments: [SealedSegment]
    ) {
        self.isClean = isClean
        self.logStart = logStart
        self.nextOffset = nextOffset
        self.recoveryPoint = recoveryPoint
        self.gapsAllowedBefore = gapsAllowedBefore
        self.hasProducers = hasProducers
        self.segments = segments
    }

    /// nil where the bytes are not a whole, intact checkpoint of this version.
    init?(_ bytes: Span<UInt8>) {
        guard bytes.count >= Self.headByteCount, bytes.uint32(at: 0) == Self.magic,
            1...Self.version ~= bytes.uint32(at: 4),
            bytes.uint32(at: 8) == crc32c(bytes.extracting(12..<bytes.count))
        else { return nil }
        let count = Int(bytes.uint32(at: 48))
        let size = bytes.uint32(at: 4) == 1 ? 32 : Self.segmentByteCount
        guard bytes.count == Self.headByteCount + count * size else { return nil }
        isClean = bytes.uint32(at: 12) & 1 != 0
        hasProducers = bytes.uint32(at: 12) & 2 != 0
        logStart = bytes.int64(at: 16)
        nextOffset = bytes.int64(at: 24)
        recoveryPoint = bytes.int64(at: 32)
        gapsAllowedBefore = bytes.int64(at: 40)
        segments = []
        segments.reserveCapacity(count)
        for index in 0..<count {
            let at = Self.headByteCount + index * size
            segments.append(
                SealedSegment(
                    base: bytes.int64(at: at), byteCount: bytes.int64(at: at + 8),
                    maxTimestamp: bytes.int64(at: at + 16),
                    idleMilliseconds: bytes.int64(at: at + 24),
                    indexChecksum: size < Self.segmentByteCount
                        ? nil : UInt32(exactly: bytes.int64(at: at + 32))))
        }
        guard logStart >= 0, nextOffset >= logStart else { return nil }
    }

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.headByteCount + segments.count * Self.segmentByteCount)
        bytes.appendBigEndian(Self.magic)
        bytes.appendBigEndian(Self.version)
        bytes.appendBigEndian(UInt32(0))
        bytes.appendBigEndian(UInt32((isClean ? 1 : 0) | (hasProducers ? 2 : 0)))
        bytes.appendBigEndian(logStart)
        bytes.appendBigEndian(nextOffset)
        bytes.appendBigEndian(recoveryPoint)
        bytes.appendBigEndian(gapsAllowedBefore)
        bytes.appendBigEndian(UInt32(segments.count))
        for segment in segments {
            bytes.appendBigEndian(segment.base)
            bytes.appendBigEndian(segment.byteCount)
            bytes.appendBigEndian(segment.maxTimestamp)
            bytes.appendBigEndian(segment.idleMilliseconds)
            bytes.appendBigEndian(segment.indexChecksum.map { Int64($0) } ?? -1)
        }
        bytes.setBigEndian(crc32c(bytes.span.extracting(12..<bytes.count)), at: 8)
        return bytes
    }

    /// The checkpoint of the partition in `directory`; nil where there is none that can be trusted.
    /// One that cannot be read is neither: to go on without it would put another in its place.
    static func load(_ disk: any Disk, _ directory: String) throws(DiskError) -> Checkpoint? {
        let path = directory + "/" + SegmentName.checkpoint
        guard disk.exists(path) else { return nil }
        let file = try disk.open(path, .read)
        let byteCount = try file.byteCount()
        guard byteCount <= Limits.checkpointBytes else { return nil }
        var bytes: [UInt8] = []
        try file.read(into: &bytes, count: Int(byteCount), at: 0)
        return Checkpoint(bytes.span)
    }

    /// Puts the checkpoint in place, durably.
    func store(_ disk: any Disk, _ directory: String) throws(DiskError) {
        let draft = directory + "/" + SegmentName.checkpointDraft
        let bytes = encoded
        let file = try disk.open(draft, .readWrite)
        try file.truncate(to: 0)
        try file.write(bytes.span, at: 0)
        try file.sync()
        try disk.rename(draft, to: directory + "/" + SegmentName.checkpoint)
        try disk.syncDirectory(directory)
    }
}
