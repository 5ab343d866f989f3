package import Platform

/// What can go wrong with a log on a real disk.
package enum LogError: Error {
    case offsetTrimmed(earliest: Offset)
    /// Past the log end offset.
    case offsetOutOfRange(latest: Offset)
    case recordTooLarge(limit: Int)
    /// Kafka's INVALID_RECORD: a compacted log takes records with a key only.
    case recordWithoutKey
    /// ENOSPC or EDQUOT: nothing was appended; later appends may succeed.
    case storageFull
    /// A write or sync failed: no more writes until the partition is opened anew.
    case failed(String)
    /// Bytes at or behind this offset are not what was written.
    case damaged(at: Offset, String)
    case disk(DiskError)
    case closed
    /// The batch is a producer's or a key's, and may not be appended.
    case identity(IdentityRefusal)
    /// The next record would not get the offset asked for, but this one.
    case endOffsetMismatch(Offset)
}
