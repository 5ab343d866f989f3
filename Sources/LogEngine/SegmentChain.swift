import Platform

/// Where a segment belongs. Its chain begins with it, so that a file which turns up elsewhere is
/// noticed: Kafka's checksum covers neither the topic nor the partition nor the base offset.
struct SegmentPlace: Equatable, Sendable {
    static let partitionByteCount = 48

    /// `<topic UUID>/<partition>`: the last two components of the directory, UTF-8.
    let partition: [UInt8]
    let base: Int64

    init(directory: String, base: Int64) {
        let name = directory.split(separator: "/").suffix(2).joined(separator: "/")
        partition = Array(name.utf8.suffix(Self.partitionByteCount))
        self.base = base
    }

    init(partition: [UInt8], base: Int64) {
        self.partition = partition
        self.base = base
    }

    var seed: UInt64 {
        var seed = ChainMark.mix(0, UInt64(bitPattern: base))
        for byte in partition { seed = ChainMark.mix(seed, UInt64(byte)) }
        return seed
    }
}

/// The chain at the end of a batch: a value over every batch of the segment up to there.
struct ChainMark: Equatable, Sendable {
    /// Where the batch ends, in bytes of the segment.
    var position: Int64
    /// The next offset, from the segment's base on.
    var relativeOffset: Int64
    var value: UInt64

    /// One step: SplitMix64's, which loses nothing of `value`.
    static func mix(_ value: UInt64, _ word: UInt64) -> UInt64 {
        var mixed = (value ^ word) &+ 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// The chain of a segment that grows, and what of it is not in its file yet (`ChainFile`).
///
/// Any two batches or files that are swapped, repeated or moved give other values from there on.
struct SegmentChain: Equatable, Sendable {
    let place: SegmentPlace
    let seed: UInt64
    /// At the end of the segment.
    private(set) var end: ChainMark
    /// Marks to keep, one about every `Limits.indexInterval` bytes, that are not stored yet.
    private(set) var unstored: [ChainMark] = []
    /// How many are.
    private(set) var storedCount = 0
    /// The file is there with its head.
    var isBegun = false
    /// Which of the two marks of the end is overwritten next.
    private(set) var slot = 0
    private var lastMark: Int64 = 0

    init(_ place: SegmentPlace) {
        self.place = place
        seed = place.seed
        end = ChainMark(position: 0, relativeOffset: 0, value: seed)
    }

    /// Goes on where `stored` ends; nil where that is not `position`.
    init?(resuming stored: StoredChain, at position: Int64) {
        self.init(stored.place)
        if position > 0 {
            guard let mark = stored.marks.last, mark.position == position else { return nil }
            end = mark
        }
        storedCount = stored.kept.count
        lastMark = stored.kept.last?.position ?? 0
        slot = stored.nextSlot
        isBegun = true
    }

    // MARK: - Hot path

    /// Counts the batch that was just written.
    mutating func add(_ batch: Span<UInt8>, nextOffset: Int64) {
        add(
            baseOffset: batch.int64(at: 0), leaderEpoch: batch.int32(at: 12),
            checksum: batch.uint32(at: 17), byteCount: batch.count, nextOffset: nextOffset)
    }

    mutating func add(_ header: RecordBatchHeader) {
        add(
            baseOffset: header.baseOffset, leaderEpoch: header.partitionLeaderEpoch,
            checksum: header.checksum, byteCount: header.batchByteCount,
            nextOffset: header.nextOffset)
    }

    private mutating func add(
        baseOffset: Int64, leaderEpoch: Int32, checksum: UInt32, byteCount: Int, nextOffset: Int64
    ) {
        var value = ChainMark.mix(end.value, UInt64(bitPattern: baseOffset))
        value = ChainMark.mix(
            value, UInt64(checksum) << 32 | UInt64(UInt32(bitPattern: leaderEpoch)))
        value = ChainMark.mix(value, UInt64(byteCount))
        end = ChainMark(
            position: end.position + Int64(byteCount), relativeOffset: nextOffset - place.base,
            value: value)
        if end.position - lastMark > Int64(Limits.indexInterval) {
            lastMark = end.position
            unstored.append(end)
        }
    }

    // MARK: - Rare

    /// What this chain, as it was when `stored` was taken from it, is in its file now.
    mutating func settle(_ stored: SegmentChain) {
        unstored.removeFirst(min(stored.unstored.count, unstored.count))
        storedCount = stored.storedCount + stored.unstored.count
        isBegun = true
        slot = 1 - stored.slot
    }

    /// Leaves what `stored` has as it is, if it has the same beginning.
    mutating func keep(_ stored: StoredChain) {
        guard stored.isWhole, unstored.starts(with: stored.kept) else { return }
        unstored.removeFirst(stored.kept.count)
        storedCount = stored.kept.count
        slot = stored.nextSlot
        isBegun = true
    }
}
