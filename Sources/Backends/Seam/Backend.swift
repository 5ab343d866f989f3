package import LogEngine
package import Platform

// The seam speaks Kafka's record batch. `LogEngine` owns the codec; these names let the rooms above
// use it without importing the log.
package typealias Offset = LogEngine.Offset
package typealias RecordBatchBuilder = LogEngine.RecordBatchBuilder
package typealias RecordBatchReader = LogEngine.RecordBatchReader
package typealias Record = LogEngine.Record
package typealias RecordHeaders = LogEngine.RecordHeaders
package typealias CompressionType = LogEngine.CompressionType
package typealias AppendRules = LogEngine.AppendRules
package typealias BatchIdentity = LogEngine.BatchIdentity
package typealias ProducerSequence = LogEngine.ProducerSequence
package typealias KeyStamp = LogEngine.KeyStamp
package typealias KeyTrace = LogEngine.KeyTrace
package typealias IdentityRefusal = LogEngine.IdentityRefusal

/// Where records live: a local directory, or a Kafka cluster. Everything the API does passes here.
///
/// Calls run on event loops and never block: what waits for a disk or a broker is `async`.
package protocol Backend: Sendable {
    /// False while recovering, and once closing has begun; calls then throw `.notReady`.
    var isReady: Bool { get }

    /// How far recovery has come, in words for an operator; nil while there is nothing to tell.
    var recoveryProgress: String? { get }

    /// Whether a topic that is not found may be one whose name cannot be read, by the first digits
    /// of its ID where they are known.
    func mayBeUnreadable(tag: String?) -> Bool

    /// All topics but internal ones, by name.
    func topics() async throws(BackendError) -> [TopicDescription]

    /// The topic to append to and read from. Found in memory: no I/O.
    func topic(_ name: String) throws(BackendError) -> any Topic

    /// Creates a topic durably. `created` is false where the same topic is already there;
    /// `.topicExists` where one with another partition count or configuration is.
    func createTopic(_ name: String, partitionCount: Int, configuration: TopicConfiguration)
        async throws(BackendError) -> (topic: any Topic, created: Bool)

    /// Changes only what `change` names; partitions may only grow.
    func alterTopic(_ name: String, _ change: TopicChange) async throws(BackendError) -> any Topic

    func deleteTopic(_ name: String) async throws(BackendError)

    /// Calls `observer` with the name of each topic that was created, grew or was deleted, once
    /// `topic` says so; from any thread, and it must not block. The last observer counts.
    func observeTopics(_ observer: @escaping @Sendable (String) -> Void)

    /// Where the group coordinator keeps its state (DESIGN.md §3, "Groups").
    var stateLog: any StateLog { get }

    /// Figures for `/metrics`, gathered without waiting.
    func statistics() -> BackendStatistics
}

extension Backend {
    package var recoveryProgress: String? { nil }
    package func mayBeUnreadable(tag: String?) -> Bool { false }
}

/// One topic, alive: holding it after a delete is safe, every call then throws `.unknownTopic`.
package protocol Topic: AnyObject, Sendable {
    var name: String { get }
    /// 16 bytes as a lower-case UUID with hyphens. A re-created topic has another.
    var topicID: String { get }
    /// Grows when the topic is altered.
    var partitionCount: Int { get }
    var configuration: TopicConfiguration { get }

    func describe() async throws(BackendError) -> TopicDescription

    /// Puts the batch in the partition's order and returns without waiting for the disk. The
    /// records' offsets, and with `acks` what was asked for, are known by `acknowledge`.
    ///
    /// Throws with nothing appended: `.storageFull`, `.recordTooLarge`, `.partitionFailed`, ….
    func append(_ batch: consuming RecordBatchBuilder, to partition: Int, acks: Acks)
        throws(BackendError) -> AppendTicket

    /// The same where `rules` hold, decided in the partition's order: nothing comes between. A
    /// batch that is there already is not appended again; its ticket says `isReplay`. Also throws
    /// `.identity` and `.endOffsetMismatch`.
    func append(
        _ batch: consuming RecordBatchBuilder, to partition: Int, acks: Acks,
        under rules: AppendRules
    ) throws(BackendError) -> AppendTicket

    /// Where batches of the request with this key stand: in memory, no I/O. Steps of the number of
    /// partitions.
    func traces(ofKey id: Int64) throws(BackendError) -> [KeyTrace]

    /// The offset of the batch's first record, once `acks` is met.
    func acknowledge(_ ticket: AppendTicket) async throws(BackendError) -> Offset

    /// Whole batches from the one that holds `offset` on, below the high watermark: at least one
    /// if there is any, then while they fit in `maxBytes`. The first may begin before `offset`.
    /// `.offsetTrimmed` before the log start, `.offsetOutOfRange` past the log end.
    func read(_ partition: Int, from offset: Offset, maxBytes: Int)
        async throws(BackendError) -> Fetched

    /// The same as far as it is there at once; nil where `read` would have to wait.
    func readNow(_ partition: Int, from offset: Offset, maxBytes: Int)
        throws(BackendError) -> Fetched?

    func bounds(_ partition: Int) throws(BackendError) -> PartitionBounds

    /// The first offset whose record's timestamp is at or after `timestamp` (milliseconds since
    /// 1970); the high watermark if there is none. Kafka's ListOffsets.
    func offset(_ partition: Int, atOrAfter timestamp: Int64) async throws(BackendError) -> Offset

    /// Moves the log start offset up, durably; returns the new one (the old where `before` is
    /// lower).
    func deleteRecords(_ partition: Int, before offset: Offset) async throws(BackendError) -> Offset

    /// Wakes `wakeup` whenever the high watermark passes `offset` (now, if it already has), or the
    /// partition fails, or the topic is altered or deleted, until `unwatch`. Look again after each
    /// wake.
    func watch(_ partition: Int, past offset: Offset, _ wakeup: Wakeup) throws(BackendError)
        -> WatchID
    func unwatch(_ partition: Int, _ id: WatchID)
}
