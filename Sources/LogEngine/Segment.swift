import Platform

/// One file of the log and what is known about it. Guarded by its partition's lock.
struct Segment: Sendable {
    /// The offset its name says: that of its first record, if it has any.
    let base: Int64
    /// Another where compaction has put another file in its place.
    var generation = 0
    /// False while compaction has yet to give its file the segment's name: till then it can only be
    /// read through `file`, which stays.
    var isInPlace = true
    /// `OpenSegments` counts it as open.
    var isCounted = false
    /// Read since it was last looked at by `OpenSegments`.
    var isRead = false
    /// Bytes of whole batches.
    var byteCount: Int64
    /// nil while no one needs it: a sealed segment's file is opened by the first reader.
    var file: (any DiskFile)?
    /// nil while not loaded; always there for the active segment.
    var indexes: SegmentIndexes?
    /// While batches are added, or the end is not stored yet; nil otherwise, and where its file
    /// could not be written.
    var chain: SegmentChain?
    /// `SegmentIndexes.checksum` of its index files; nil where it is not known.
    var indexChecksum: UInt32?
    /// The largest timestamp of its records, milliseconds since 1970; meaningless while empty.
    var maxTimestamp: Int64
    /// Milliseconds without an append, counted by earlier runs of the program.
    var idleBefore: Int64
    /// The last append, or when this run opened the segment.
    var lastAppend: Instant
    /// The first append of this run; nil before.
    var firstAppend: Instant?

    init(base: Int64, byteCount: Int64 = 0, file: (any DiskFile)? = nil, openedAt: Instant) {
        self.base = base
        self.byteCount = byteCount
        self.file = file
        maxTimestamp = .min
        idleBefore = 0
        lastAppend = openedAt
    }

    mutating func noteAppend(_ now: Instant) {
        lastAppend = now
        if firstAppend == nil { firstAppend = now }
        idleBefore = 0
    }

    /// Milliseconds since the last append, as far as a program was there to count them.
    func idleMilliseconds(_ now: Instant) -> Int64 {
        let running = max(0, (now - lastAppend).wholeMilliseconds)
        return idleBefore.addingReportingOverflow(running).partialValue
    }
}

/// The names of a partition's files: each suffix is written here only.
enum SegmentName {
    static let log = ".log"
    static let index = ".index"
    static let timeIndex = ".timeindex"
    static let chain = ".chain"
    /// All files of a segment; the log goes last, so that a removal cut short is finished.
    static let all = [index, timeIndex, chain, log]
    /// What recovery set aside: never acknowledged, behind a hole a power cut left.
    static let lost = ".lost"
    /// What compaction is writing, and what it has written and not yet put in place.
    static let cleaned = ".log.cleaned"
    static let swap = ".swap"
    static let compaction = "compaction"
    static let compactionDraft = "compaction.tmp"
    static let checkpoint = "checkpoint"
    static let checkpointDraft = "checkpoint.tmp"

    /// 20 digits, as Kafka names them.
    static func file(_ base: Int64, _ suffix: String) -> String {
        let digits = String(base)
        return String(repeating: "0", count: max(0, 20 - digits.utf8.count)) + digits + suffix
    }

    /// The base offset a name says; nil for other names.
    static func base(_ name: String, suffix: String) -> Int64? {
        guard name.hasSuffix(suffix), name.utf8.count == 20 + suffix.utf8.count else { return nil }
        let digits = name.utf8.prefix(20)
        guard digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int64(String(decoding: digits, as: UTF8.self))
    }
}
