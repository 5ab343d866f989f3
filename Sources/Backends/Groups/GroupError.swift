package import Groups

/// The bounds of groups, for those who answer requests about them.
package typealias GroupLimits = Groups.Limits

/// What can be answered to a request about a group, beside its success.
package enum GroupError: Error, Equatable {
    /// Not 1 to 249 of `[A-Za-z0-9._-]`, or `.` or `..`.
    case invalidGroupName(String)
    /// The group has neither committed offsets nor members.
    case unknownGroup(String)
    case unknownTopic(String)
    case unknownPartition(topic: String, Int, partitionCount: Int)
    /// Negative, or past the log end.
    case offsetOutOfRange(topic: String, partition: Int, latest: Offset)
    /// In bytes of UTF-8.
    case metadataTooLong(topic: String, partition: Int, limit: Int)
    /// Offsets in one commit.
    case tooManyOffsets(limit: Int)
    case tooManyGroups(limit: Int)
    /// The state log: loading (`.notReady`), full, failed.
    case backend(BackendError)
}
