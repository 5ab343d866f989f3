import Platform

/// The two indexes of a segment, and the state of filling them.
struct SegmentIndexes: Sendable {
    var offsets = OffsetIndex()
    var times = TimeIndex()
    private var bytesSinceEntry = 0
    private var maxTimestamp = Int64.min
    private var maxTimestampOffset: Int64 = 0

    init() {}

    /// Takes what was loaded from files. Appending goes on as if an entry had just been due.
    init(offsets: OffsetIndex, times: TimeIndex, maxTimestamp: Int64) {
        self.offsets = offsets
        self.times = times
        self.maxTimestamp = maxTimestamp
        bytesSinceEntry = Limits.indexInterval + 1
    }

    var memoryByteCount: Int { offsets.memoryByteCount + times.memoryByteCount }

    /// Counts a batch that was just written; the same steps as Kafka's `LogSegment.append`.
    mutating func add(
        relativeOffset: Int64, maxTimestamp: Int64, position: Int64, byteCount: Int
    ) {
        if maxTimestamp > self.maxTimestamp {
            self.maxTimestamp = maxTimestamp
            maxTimestampOffset = relativeOffset
        }
        if bytesSinceEntry > Limits.indexInterval {
            offsets.append(relativeOffset: relativeOffset, position: position)
            times.append(timestamp: self.maxTimestamp, relativeOffset: maxTimestampOffset)
            bytesSinceEntry = 0
        }
        bytesSinceEntry += byteCount
    }

    /// The time index with the last entry, which says the segment's largest timestamp.
    func sealedTimes() -> TimeIndex {
        var times = times
        if maxTimestamp > .min {
            times.append(timestamp: maxTimestamp, relativeOffset: maxTimestampOffset)
        }
        return times
    }

    // MARK: - Files

    /// CRC-32C of the two files, one behind the other. The checkpoint keeps it, since Kafka's
    /// formats have none, and a flipped bit in an entry can lead past records that are there.
    var checksum: UInt32 { Self.checksum(offsets.encoded, sealedTimes().encoded) }

    private static func checksum(_ offsets: [UInt8], _ times: [UInt8]) -> UInt32 {
        crc32c(times.span, seed: crc32c(offsets.span))
    }

    /// What the index files of a segment hold; nil where one is missing or does not fit the
    /// segment, and it must be made anew.
    static func load(
        _ disk: any Disk, _ directory: String, _ segment: Segment
    ) -> SegmentIndexes? {
        let entries = segment.byteCount / Int64(Limits.indexInterval) + 2
        let offsetPath = directory + "/" + SegmentName.file(segment.base, SegmentName.index)
        let timePath = directory + "/" + SegmentName.file(segment.base, SegmentName.timeIndex)
        do throws(DiskError) {
            let offsetBytes = try read(
                disk, offsetPath, limit: entries * Int64(OffsetIndex.entryByteCount))
            let timeBytes = try read(
                disk, timePath, limit: entries * Int64(TimeIndex.entryByteCount))
            guard let offsetBytes, let timeBytes,
                (segment.indexChecksum ?? checksum(offsetBytes, timeBytes))
                    == checksum(offsetBytes, timeBytes),
                let offsets = OffsetIndex(offsetBytes, logByteCount: segment.byteCount),
                let times = TimeIndex(timeBytes)
            else { return nil }
            // An emptied file is no index of a log that needs entries.
            let mayBeEmpty = segment.byteCount <= Int64(Limits.scanChunk)
            guard offsets.count > 0 || mayBeEmpty else { return nil }
            // Nor may it promise records that are not there, or keep silent about the newest.
            guard times.count > 0 || segment.byteCount == 0,
                times.lastTimestamp ?? segment.maxTimestamp == segment.maxTimestamp
            else { return nil }
            return SegmentIndexes(
                offsets: offsets, times: times, maxTimestamp: segment.maxTimestamp)
        } catch {
            // An index can always be made anew; that it cannot be read is no error.
            return nil
        }
    }

    private static func read(
        _ disk: any Disk, _ path: String, limit: Int64
    ) throws(DiskError) -> [UInt8]? {
        guard disk.exists(path) else { return nil }
        let file = try disk.open(path, .read)
        let byteCount = try file.byteCount()
        guard byteCount <= limit else { return nil }
        var bytes: [UInt8] = []
        try file.read(into: &bytes, count: Int(byteCount), at: 0)
        return bytes
    }

    /// Writes the index files of a segment. They are not synced: a crash may leave anything of
    /// them, and `load` checks.
    func store(_ disk: any Disk, _ directory: String, _ base: Int64) {
        let stem = directory + "/"
        do throws(DiskError) {
            try Self.replace(
                disk, stem + SegmentName.file(base, SegmentName.index), offsets.encoded)
            try Self.replace(
                disk, stem + SegmentName.file(base, SegmentName.timeIndex), sealedTimes().encoded)
        } catch {
            // Without space there is no index file; it is made from the log when it is needed.
        }
    }

    private static func replace(
        _ disk: any Disk, _ path: String, _ bytes: [UInt8]
    ) throws(DiskError) {
        let file = try disk.open(path, .readWrite)
        try file.truncate(to: 0)
        try file.write(bytes.span, at: 0)
    }
}
