/// Limits of a produce that no operator needs to move.
enum ProduceLimits {
    /// Parts of an NDJSON body (64 KiB at most each) that may be appended and not acknowledged
    /// before reading waits.
    static let unacknowledgedParts = 64
    /// What a line may always have in bytes, however small the topic's records must be.
    static let shortestLineLimit = 64 << 10
}
