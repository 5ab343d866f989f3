import Platform

/// The file `<base>.chain` beside a segment, big-endian. Kafka's tools pass it over.
///
///     at  size  field
///      0     4  "MRCH"
///      4     4  version            1
///      8     4  checksum           CRC-32C of byte 12 to 88
///     12     4  byte count of the place
///     16     8  base               the segment's base offset
///     24    48  place              <topic UUID>/<partition>, then zeros
///     72    16  zeros
///     88    20  two marks of the end, overwritten in turn
///    128    20  marks to keep: one about every 4 KiB of the log
///
///     a mark:
///      0     4  position           where a batch ends
///      4     4  relativeOffset     the offset behind it, from the base on
///      8     8  value              of the chain there
///     16     4  checksum           CRC-32C of the mark, its index and the place
///
/// A mark is written only when what is in front of it was synced, so it also says up to where the
/// segment is durable: what is missing or broken before the last mark is damage, what is behind it
/// may be a write that a crash cut short. The head is synced before anything in the segment is
/// acknowledged, the marks when the segment is sealed. A lost mark makes recovery know less, no
/// more; a lost file is made anew from the segment.
enum ChainFile {
    static let headByteCount = 88
    static let markByteCount = 20
    /// The marks of the end.
    static let slotCount = 2
    private static let magic: UInt32 = 0x4D52_4348
    private static let version: UInt32 = 1

    static func path(_ directory: String, _ base: Int64) -> String {
        directory + "/" + SegmentName.file(base, SegmentName.chain)
    }

    // MARK: - Writing

    /// Writes the head; what is behind it is kept where the chain goes on with it. Not synced.
    static func begin(
        _ chain: SegmentChain, _ disk: any Disk, _ directory: String
    ) throws(DiskError) {
        let file = try disk.open(path(directory, chain.place.base), .readWrite)
        if !chain.isBegun { try file.truncate(to: 0) }
        try file.write(head(chain.place).span, at: 0)
    }

    /// Writes what is not stored yet and the end. Everything up to it must have been synced.
    static func store(
        _ chain: SegmentChain, _ disk: any Disk, _ directory: String, isLast: Bool = false
    ) throws(DiskError) {
        let file = try disk.open(path(directory, chain.place.base), .readWrite)
        if !chain.unstored.isEmpty {
            var bytes: [UInt8] = []
            bytes.reserveCapacity(chain.unstored.count * markByteCount)
            let first = slotCount + chain.storedCount
            for (index, mark) in chain.unstored.enumerated() {
                append(mark, first + index, chain.seed, to: &bytes)
            }
            try file.write(bytes.span, at: markPosition(first))
        }
        if chain.end.position > 0 {
            var bytes: [UInt8] = []
            append(chain.end, chain.slot, chain.seed, to: &bytes)
            try file.write(bytes.span, at: markPosition(chain.slot))
        }
        if isLast { try file.sync() }
    }

    /// Makes the file of a finished segment from its log, durably but for its name; for compaction,
    /// and where it was lost. Whoever puts another log in a segment's place removes the old file
    /// and syncs the directory first: marks of the old log would call the new one damaged.
    ///
    /// False, with no file, where the log is not whole.
    @discardableResult
    static func rebuild(
        _ disk: any Disk, _ directory: String, base: Int64
    ) throws(DiskError) -> Bool {
        let log = directory + "/" + SegmentName.file(base, SegmentName.log)
        let file = try disk.open(log, .read)
        let chain = SegmentChain(SegmentPlace(directory: directory, base: base))
        let scan = SegmentScan(
            file, byteCount: try file.byteCount(), base: base, gapsAllowedBefore: .max,
            chain: chain)
        guard scan.ending == .complete, let chain = scan.chain else { return false }
        try begin(chain, disk, directory)
        try store(chain, disk, directory, isLast: true)
        return true
    }

    private static func head(_ place: SegmentPlace) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(headByteCount)
        bytes.appendBigEndian(magic)
        bytes.appendBigEndian(version)
        bytes.appendBigEndian(UInt32(0))
        bytes.appendBigEndian(UInt32(place.partition.count))
        bytes.appendBigEndian(place.base)
        bytes += place.partition
        bytes += [UInt8](repeating: 0, count: headByteCount - bytes.count)
        bytes.setBigEndian(crc32c(bytes.span.extracting(12..<headByteCount)), at: 8)
        return bytes
    }

    private static func append(
        _ mark: ChainMark, _ index: Int, _ seed: UInt64, to bytes: inout [UInt8]
    ) {
        let start = bytes.count
        bytes.appendBigEndian(UInt32(truncatingIfNeeded: mark.position))
        bytes.appendBigEndian(UInt32(truncatingIfNeeded: mark.relativeOffset))
        bytes.appendBigEndian(Int64(bitPattern: mark.value))
        bytes.appendBigEndian(checksum(bytes.span.extracting(start..<start + 16), index, seed))
    }

    static func markPosition(_ index: Int) -> Int64 {
        Int64(headByteCount + index * markByteCount)
    }

    private static func checksum(_ bytes: Span<UInt8>, _ index: Int, _ seed: UInt64) -> UInt32 {
        crc32c(bytes, seed: UInt32(truncatingIfNeeded: ChainMark.mix(seed, UInt64(index))))
    }

    // MARK: - Reading

    /// What the bytes of a file say; nil where its head is not whole.
    static func decode(_ bytes: Span<UInt8>) -> StoredChain? {
        guard bytes.count >= headByteCount, bytes.uint32(at: 0) == magic,
            bytes.uint32(at: 4) == version,
            bytes.uint32(at: 8) == crc32c(bytes.extracting(12..<headByteCount)),
            bytes.uint32(at: 12) <= SegmentPlace.partitionByteCount
        else { return nil }
        var partition: [UInt8] = []
        partition.append(bytes.extracting(24..<24 + Int(bytes.uint32(at: 12))))
        let place = SegmentPlace(partition: partition, base: bytes.int64(at: 16))
        var stored = StoredChain(place: place)
        let seed = place.seed
        var index = 0
        while bytes.count - headByteCount >= (index + 1) * markByteCount {
            stored.take(mark(bytes, index, seed), index)
            index += 1
        }
        stored.isWhole = stored.isWhole && (bytes.count - headByteCount) % markByteCount == 0
        stored.marks.sort { $0.position < $1.position }
        return stored
    }

    private static func mark(_ bytes: Span<UInt8>, _ index: Int, _ seed: UInt64) -> ChainMark? {
        let at = headByteCount + index * markByteCount
        guard bytes.uint32(at: at + 16) == checksum(bytes.extracting(at..<at + 16), index, seed)
        else { return nil }
        return ChainMark(
            position: Int64(bytes.uint32(at: at)), relativeOffset: Int64(bytes.uint32(at: at + 4)),
            value: UInt64(bitPattern: bytes.int64(at: at + 8)))
    }

    /// What the file of a segment says; nil where there is none that can be read and trusted.
    static func load(_ disk: any Disk, _ directory: String, _ base: Int64) -> StoredChain? {
        let path = path(directory, base)
        guard disk.exists(path) else { return nil }
        do throws(DiskError) {
            let file = try disk.open(path, .read)
            let byteCount = try file.byteCount()
            guard byteCount <= Limits.chainBytes else { return nil }
            var bytes: [UInt8] = []
            try file.read(into: &bytes, count: Int(byteCount), at: 0)
            return decode(bytes.span)
        } catch {
            // It can be made anew; that it cannot be read is no error of the log.
            return nil
        }
    }
}

/// What a chain file says.
struct StoredChain: Equatable, Sendable {
    let place: SegmentPlace
    /// Those that are intact, by position.
    var marks: [ChainMark] = []
    /// The marks to keep, as far as there is no hole.
    private(set) var kept: [ChainMark] = []
    /// The mark of the end that is overwritten next: not the newest.
    private(set) var nextSlot = 0
    /// No mark to keep is broken.
    var isWhole = true
    private var newestSlot: Int64 = 0

    init(place: SegmentPlace) { self.place = place }

    /// Up to where the segment was synced, at least.
    var syncedEnd: Int64 { marks.last?.position ?? 0 }

    fileprivate mutating func take(_ mark: ChainMark?, _ index: Int) {
        if let mark { marks.append(mark) }
        if index < ChainFile.slotCount {
            guard let mark, mark.position > newestSlot else { return }
            newestSlot = mark.position
            nextSlot = 1 - index
        } else if let mark, isWhole {
            kept.append(mark)
        } else {
            isWhole = false
        }
    }
}
