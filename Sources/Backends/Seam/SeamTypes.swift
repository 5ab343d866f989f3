/// When an append counts as done (Kafka's acks).
package enum Acks: Sendable {
    /// Never waited for.
    case none
    /// Written, as a page-cache write of the leader is.
    case leader
    /// Durable on all in-sync replicas; embedded: after fdatasync.
    case all
}

/// Names an append between `append` and `acknowledge`; of use only to the topic that made it.
package struct AppendTicket: Sendable {
    package var partition: Int
    package var baseOffset: Offset
    package var recordCount: Int
    package var acks: Acks
    /// The batch was there already.
    package var isReplay = false

    package init(partition: Int, baseOffset: Offset, recordCount: Int, acks: Acks) {
        self.partition = partition
        self.baseOffset = baseOffset
        self.recordCount = recordCount
        self.acks = acks
    }
}

package struct WatchID: Sendable {
    package var value: UInt64
    package init(_ value: UInt64) { self.value = value }
}

/// Offsets of one partition at one moment: `logStart <= highWatermark <= logEnd`.
package struct PartitionBounds: Equatable, Sendable {
    /// The first offset that can be read.
    package var logStart: Offset
    /// Consumers read below it only: what is durable.
    package var highWatermark: Offset
    /// The offset the next record gets.
    package var logEnd: Offset

    package init(logStart: Offset, highWatermark: Offset, logEnd: Offset) {
        self.logStart = logStart
        self.highWatermark = highWatermark
        self.logEnd = logEnd
    }
}

/// What a read brought.
package struct Fetched: Sendable {
    /// Whole record batches, one behind the other, whose CRCs the backend has checked; empty when
    /// there is nothing below the high watermark. `RecordBatchReader` walks them.
    package var batches: [UInt8]
    package var bounds: PartitionBounds

    package init(batches: [UInt8], bounds: PartitionBounds) {
        self.batches = batches
        self.bounds = bounds
    }
}

package enum CleanupPolicy: String, Sendable {
    case delete, compact
}

/// Configuration of a topic, in Kafka's terms. nil means without limit.
package struct TopicConfiguration: Equatable, Sendable {
    package var retentionMs: Int64?
    package var retentionBytes: Int64?
    package var cleanupPolicy = CleanupPolicy.delete
    /// How long a tombstone of a compacted topic stays once what it ended is removed.
    package var deleteRetentionMs: Int64
    package var compressionType = CompressionType.none
    package var segmentBytes: Int64
    /// The largest record (key, value and headers, encoded) in bytes.
    package var maxRecordBytes: Int
    package var replicationFactor = 1
    package var minInsyncReplicas = 1

    package init() {
        retentionMs = 7 * 24 * 60 * 60 * 1000
        retentionBytes = nil
        deleteRetentionMs = 24 * 60 * 60 * 1000
        segmentBytes = 256 << 20
        maxRecordBytes = 1 << 20
    }
}

/// What an alter names; absent members stay as they are. A limit can be lifted: `.some(nil)`.
package struct TopicChange: Equatable, Sendable {
    package var partitionCount: Int?
    package var retentionMs: Int64??
    package var retentionBytes: Int64??
    package var cleanupPolicy: CleanupPolicy?
    package var deleteRetentionMs: Int64?
    package var compressionType: CompressionType?
    package var segmentBytes: Int64?
    package var maxRecordBytes: Int?
    package var replicationFactor: Int?
    package var minInsyncReplicas: Int?

    package init() {}
}

package struct PartitionDescription: Equatable, Sendable {
    package var leader: Int
    package var replicas: [Int]
    package var isr: [Int]
    package var bounds: PartitionBounds
    /// Bytes of the segment files.
    package var byteCount: Int64
    /// Why the partition takes no writes, in words for an operator; nil while it does.
    package var failure: String?

    package init(
        leader: Int, replicas: [Int], isr: [Int], bounds: PartitionBounds, byteCount: Int64,
        failure: String?
    ) {
        self.leader = leader
        self.replicas = replicas
        self.isr = isr
        self.bounds = bounds
        self.byteCount = byteCount
        self.failure = failure
    }
}

package struct TopicDescription: Sendable {
    package var name: String
    package var topicID: String
    package var configuration: TopicConfiguration
    package var partitions: [PartitionDescription]

    package init(
        name: String, topicID: String, configuration: TopicConfiguration,
        partitions: [PartitionDescription]
    ) {
        self.name = name
        self.topicID = topicID
        self.configuration = configuration
        self.partitions = partitions
    }
}

/// Counters since the start, and gauges, of a backend.
package struct BackendStatistics: Sendable {
    package var topicCount = 0
    package var partitionCount = 0
    package var failedPartitionCount = 0
    package var appendedRecords: UInt64 = 0
    package var appendedBytes: UInt64 = 0
    package var readBytes: UInt64 = 0
    package var syncCount: UInt64 = 0
    package var syncNanoseconds: UInt64 = 0
    package var compactionPassCount: UInt64 = 0
    package var compactionReadBytes: UInt64 = 0
    package var compactionRemovedBytes: UInt64 = 0
    package var scrubbedBytes: UInt64 = 0
    package var scrubbedDamage: UInt64 = 0
    package var scrubPassCount: UInt64 = 0

    package init() {}
}
