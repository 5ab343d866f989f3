import Backends

/// Every limit of the API, named. Those a user may want to move stand in `GatewayConfiguration`.
enum Limits {
    /// Partitions one cursor or commit may name.
    static let cursorEntries = GroupLimits.partitionsPerGroup
    /// Records of a page when the request does not say; and the most it may say.
    static let defaultPageRecords = 1000
    static let pageRecords = 10_000
    /// Bytes of a page's records as JSON when the request does not say; and the most it may say.
    static let defaultPageBytes = 1 << 20
    static let pageBytes = 16 << 20
    /// What is read from the log at a time.
    static let fetchBytes = 1 << 20
    /// And of that for each record that is still due.
    static let fetchBytesPerRecord = 128
    /// What of a page is rendered before other requests of its event loop come between.
    static let bytesPerTurn = 1 << 20
    /// What a stream renders before it writes.
    static let burstRecords = 500
    static let burstBytes = 128 << 10
    /// Of a stream, bytes that were read at once and are kept for its next burst.
    static let largeReadBytes = 256 << 10
    /// Partitions up to which each server-sent event carries the whole cursor (DESIGN.md §5).
    static let cursorPerEventPartitions = 16
    /// Silence of a stream after which it says that it lives.
    static let heartbeat = Duration.seconds(15)
    /// How long a cache may keep a page that can never change, in seconds.
    static let historyMaxAge = 3600
    /// Bytes of a request body that configures something.
    static let controlBodyBytes = 1 << 20
    /// Bytes of an `Idempotency-Key`.
    static let idempotencyKeyBytes = 128
    /// Of one with cursors or offsets: two cursors of all the partitions a group may have, with
    /// topic names of 250 bytes.
    static let offsetsBodyBytes = 12 << 20
}

/// What the operator may set.
package struct GatewayConfiguration: Sendable {
    /// The largest request body in bytes. NDJSON bodies have no limit as a whole, only each line.
    package var maxBodyBytes = 16 << 20
    /// The longest a long-poll may wait.
    package var maxWait = Duration.seconds(60)
    /// Partitions of a topic that is created by its first produce; nil: it is not.
    package var autoCreatePartitions: Int?
    /// Names a `Host` may have beside those that cannot be another site's; nil: any name at all.
    package var allowedHosts: [String]? = []
    /// Origins whose pages may call the gateway, as a browser writes them; `*`: all but `null`.
    package var corsOrigins: [String] = []

    package init() {}
}
