/// Limits of a produce that no operator needs to move.
enum ProduceLimits {
    /// Parts of an NDJSON body (64 KiB at most each) that may be appended and not acknowledged
    /// before reading waits.
    static let unacknowledgedParts = 64
    /// What a line may always have in bytes, however small the topic's records must be.
    static let shortestLineLimit = 64 << 10
    /// A body of more bytes is read and appended beside the event loop, which others wait for: it
    /// reads some 50 MB of the smallest records a second.
    static let bytesOnLoop = 128 << 10
    /// Bodies that are read beside the loops at a time.
    static let largeBodies = 2
}
