import Backends
import JSON

/// The body of a PUT or PATCH of a topic: a configuration and a partition count, all optional.
struct TopicDocument {
    var change = TopicChange()

    private static let fields = [
        "partitions", "retentionMs", "retentionBytes", "cleanupPolicy", "segmentBytes",
        "maxRecordBytes", "replicationFactor", "minInsyncReplicas", "deleteRetentionMs",
        "compressionType",
    ]

    /// An empty body is an empty document.
    init(parsing body: [UInt8]) throws(Problem) {
        if body.isEmpty { return }
        change = try parsing {
            var change = TopicChange()
            var reader = JSONReader(body)
            try reader.readObject("A topic", fields: Self.fields) { name, reader in
                try Self.read(name, &reader, into: &change)
            }
            try reader.end()
            return change
        }
    }

    private static func read(
        _ name: String, _ reader: inout JSONReader, into change: inout TopicChange
    ) throws {
        let any = 1...Int64.max
        switch name {
        case "partitions":
            change.partitionCount = Int(try reader.numberField(name, 1...Int64(Int32.max)))
        case "retentionMs": change.retentionMs = .some(try limit(name, &reader))
        case "retentionBytes": change.retentionBytes = .some(try limit(name, &reader))
        case "segmentBytes": change.segmentBytes = try reader.numberField(name, any)
        case "maxRecordBytes":
            change.maxRecordBytes = Int(try reader.numberField(name, 1...Int64(Int32.max)))
        case "replicationFactor":
            change.replicationFactor = Int(try reader.numberField(name, 1...Int64(Int16.max)))
        case "minInsyncReplicas":
            change.minInsyncReplicas = Int(try reader.numberField(name, 1...Int64(Int16.max)))
        case "deleteRetentionMs":
            change.deleteRetentionMs = try reader.numberField(name, 0...Int64.max)
        case "compressionType":
            guard let type = CompressionType(rawValue: try reader.stringField(name)) else {
                throw Problem.field(name, "must be \"none\" or \"gzip\"")
            }
            change.compressionType = type
        default:
            guard let policy = CleanupPolicy(rawValue: try reader.stringField(name)) else {
                throw Problem.field(name, "must be \"delete\" or \"compact\"")
            }
            change.cleanupPolicy = policy
        }
    }

    /// A limit that may be null, which lifts it.
    private static func limit(_ name: String, _ reader: inout JSONReader) throws -> Int64? {
        if try reader.peek() == .null {
            try reader.readNull()
            return nil
        }
        return try reader.numberField(name, 1...Int64.max)
    }

    /// The configuration of a new topic: what is not named is as `TopicConfiguration` begins.
    var configuration: TopicConfiguration {
        TopicConfiguration().applying(change)
    }
}

extension JSONWriter {
    /// A topic as `GET /v1/topics/{topic}` shows it; PUT and PATCH answer the same.
    mutating func topic(_ topic: TopicDescription) {
        beginObject()
        name("name")
        string(topic.name)
        name("topicId")
        string(topic.topicID)
        name("configuration")
        configuration(topic.configuration)
        name("partitions")
        beginArray()
        for (index, partition) in topic.partitions.enumerated() { self.partition(partition, index) }
        endArray()
        endObject()
    }

    private mutating func configuration(_ configuration: TopicConfiguration) {
        beginObject()
        name("retentionMs")
        optional(configuration.retentionMs)
        name("retentionBytes")
        optional(configuration.retentionBytes)
        name("cleanupPolicy")
        string(configuration.cleanupPolicy.rawValue)
        name("segmentBytes")
        integer(configuration.segmentBytes)
        name("maxRecordBytes")
        integer(Int64(configuration.maxRecordBytes))
        name("replicationFactor")
        integer(Int64(configuration.replicationFactor))
        name("minInsyncReplicas")
        integer(Int64(configuration.minInsyncReplicas))
        name("deleteRetentionMs")
        integer(configuration.deleteRetentionMs)
        name("compressionType")
        string(configuration.compressionType.rawValue)
        endObject()
    }

    private mutating func partition(_ partition: PartitionDescription, _ index: Int) {
        beginObject()
        name("partition")
        integer(Int64(index))
        name("leader")
        integer(Int64(partition.leader))
        name("replicas")
        integers(partition.replicas)
        name("isr")
        integers(partition.isr)
        name("logStartOffset")
        integer(partition.bounds.logStart.value)
        name("highWatermark")
        integer(partition.bounds.highWatermark.value)
        name("bytes")
        integer(partition.byteCount)
        if let failure = partition.failure {
            name("failure")
            string(failure)
        }
        endObject()
    }

    private mutating func integers(_ values: [Int]) {
        beginArray()
        for value in values { integer(Int64(value)) }
        endArray()
    }

    mutating func optional(_ value: Int64?) {
        if let value { integer(value) } else { null() }
    }
}
