/// What the world can answer to a call of the seam. Each becomes an HTTP answer in one place,
/// `Problem.init(_: BackendError)`.
package enum BackendError: Error, Equatable {
    /// Recovering, or closing: try again.
    case notReady(String)
    case unknownTopic(String)
    case unknownPartition(Int, partitionCount: Int)
    /// There is a topic of this name with another partition count or configuration.
    case topicExists(String)
    /// There is a topic whose name differs in case, or in `.` and `_`, only.
    case topicNameCollides(String)
    /// A field of a configuration has a value this backend cannot take; `reason` says what it
    /// takes.
    case invalidConfiguration(field: String, reason: String)
    /// A limit on how many there may be is reached.
    case limitReached(String)
    case offsetTrimmed(earliest: Offset)
    case offsetOutOfRange(latest: Offset)
    case recordTooLarge(limit: Int)
    /// The topic is compacted, and a record has no key.
    case recordWithoutKey
    /// A batch with an identity may not be appended.
    case identity(IdentityRefusal)
    /// The next record would get this offset, and not the one asked for.
    case endOffsetMismatch(endOffset: Offset)
    /// No space, or quota exceeded; nothing was appended.
    case storageFull
    /// A write or sync failed; the partition takes no more writes until a restart.
    case partitionFailed(String)
    /// Damage in the log at or behind this offset; what is before it can be read.
    case damaged(at: Offset, String)
    /// An operation on a file failed; nothing changed.
    case storage(String)
}
