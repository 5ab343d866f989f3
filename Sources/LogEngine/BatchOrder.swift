/// Where a batch begins in a segment, and what is known of its offsets.
struct BatchStart: Equatable, Sendable {
    var position: Int64
    /// Its first offset, or one in front of it where compaction has left a gap.
    var next: Int64?
    /// Its last offset, where it is an index that leads there.
    var last: Int64?
}

/// The batches of a segment as they come by: whether the next one's offsets belong there. The
/// checksum of a batch does not cover its base offset, so that one flipped bit would move records.
struct BatchOrder {
    private var next: Int64?
    private var last: Int64?
    private let gapsAllowedBefore: Int64

    init(_ start: BatchStart, gapsAllowedBefore: Int64) {
        next = start.next
        last = start.last
        self.gapsAllowedBefore = gapsAllowedBefore
    }

    /// What is wrong with the batch that comes next, in words; nil where nothing is.
    mutating func take(_ header: RecordBatchHeader) -> String? {
        if let last, header.lastOffset != last { return "it is not the batch the index leads to" }
        if let next {
            if header.baseOffset < next { return "offsets go backwards" }
            if header.baseOffset > next, !mayGap(before: header) { return "offsets are missing" }
        }
        last = nil
        next = header.nextOffset
        return nil
    }

    /// Compaction may have taken what is missing in front of the batch.
    func mayGap(before header: RecordBatchHeader) -> Bool { header.baseOffset < gapsAllowedBefore }
}
