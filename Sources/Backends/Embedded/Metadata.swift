import Groups
import JSON
import Platform

/// Why a metadata file cannot be used, in words for an operator.
package struct MetadataError: Error, Equatable {
    package var reason: String
}

/// What topic.json says:
///
///     {"name":"orders","topicId":"<uuid>","partitions":6,"configuration":{…},"checksum":"…"}
///
/// The checksum is CRC-32C of the text in front of `,"checksum"`, so that a flipped bit in a
/// retention limit deletes nothing. An operator who edits the file by hand leaves it out.
package struct TopicMetadata: Equatable, Sendable {
    package var name: String
    package var topicID: String
    package var partitionCount: Int
    package var configuration: TopicConfiguration

    package func encoded() -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("name")
        writer.string(name)
        writer.name("topicId")
        writer.string(topicID)
        writer.name("partitions")
        writer.integer(Int64(partitionCount))
        writer.name("configuration")
        configuration.write(to: &writer)
        return closeWithChecksum(&writer)
    }

    package init(
        name: String, topicID: String, partitionCount: Int, configuration: TopicConfiguration
    ) {
        self.name = name
        self.topicID = topicID
        self.partitionCount = partitionCount
        self.configuration = configuration
    }

    package init(decoding bytes: [UInt8]) throws(MetadataError) {
        var name: String?
        var topicID: String?
        var partitionCount: Int64?
        var configuration: TopicConfiguration?
        var members = MetadataReader(bytes)
        while let member = try members.next() {
            switch member {
            case "name": name = try members.text()
            case "topicId": topicID = try members.text()
            case "partitions": partitionCount = try members.integer()
            case "configuration": configuration = try TopicConfiguration(reading: &members)
            default: throw MetadataError(reason: "unknown member \(member)")
            }
        }
        guard let name, let topicID, let partitionCount, let configuration else {
            throw MetadataError(reason: "a member is missing")
        }
        guard isTopicName(name) else { throw MetadataError(reason: "bad topic name") }
        guard TopicID(topicID) != nil else { throw MetadataError(reason: "bad topicId") }
        guard (1...Int64(Limits.partitionsPerTopic)).contains(partitionCount) else {
            throw MetadataError(reason: "bad partition count \(partitionCount)")
        }
        do { try configuration.check() } catch { throw MetadataError(reason: "\(error)") }
        self.init(
            name: name, topicID: topicID, partitionCount: Int(partitionCount),
            configuration: configuration)
    }
}

/// What node.json says: `{"formatVersion":1,"nodeId":0,"checksum":"0a1b2c3d"}`.
struct NodeMetadata: Equatable, Sendable {
    /// The layout of the data directory this program writes and reads.
    static let currentFormatVersion: Int64 = 1

    var formatVersion = Self.currentFormatVersion
    var nodeID: Int64 = 0

    init() {}

    func encoded() -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("formatVersion")
        writer.integer(formatVersion)
        writer.name("nodeId")
        writer.integer(nodeID)
        return closeWithChecksum(&writer)
    }

    /// Stops at a later format's version before it meets members it does not know.
    init(decoding bytes: [UInt8]) throws(MetadataError) {
        var formatVersion: Int64?
        var nodeID: Int64?
        var members = MetadataReader(bytes)
        while let member = try members.next() {
            switch member {
            case "formatVersion":
                let version = try members.integer()
                formatVersion = version
                if version > Self.currentFormatVersion {
                    self.formatVersion = version
                    return
                }
            case "nodeId": nodeID = try members.integer()
            default: throw MetadataError(reason: "unknown member \(member)")
            }
        }
        guard let formatVersion, formatVersion > 0, let nodeID else {
            throw MetadataError(reason: "a member is missing")
        }
        self.formatVersion = formatVersion
        self.nodeID = nodeID
    }
}

// MARK: - Configuration

extension TopicConfiguration {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.beginObject()
        writer.name("retentionMs")
        if let retentionMs { writer.integer(retentionMs) } else { writer.null() }
        writer.name("retentionBytes")
        if let retentionBytes { writer.integer(retentionBytes) } else { writer.null() }
        writer.name("cleanupPolicy")
        writer.string(cleanupPolicy.rawValue)
        writer.name("segmentBytes")
        writer.integer(segmentBytes)
        writer.name("maxRecordBytes")
        writer.integer(Int64(maxRecordBytes))
        writer.name("replicationFactor")
        writer.integer(Int64(replicationFactor))
        writer.name("minInsyncReplicas")
        writer.integer(Int64(minInsyncReplicas))
        writer.name("deleteRetentionMs")
        writer.integer(deleteRetentionMs)
        writer.name("compressionType")
        writer.string(compressionType.rawValue)
        writer.endObject()
    }

    /// What the first files had. Each must be there: a default of this program would be a change
    /// nobody asked for. Those that came later have as default what programs before them did.
    private static let required: Set = [
        "retentionMs", "retentionBytes", "cleanupPolicy", "segmentBytes", "maxRecordBytes",
        "replicationFactor", "minInsyncReplicas",
    ]

    fileprivate init(reading members: inout MetadataReader) throws(MetadataError) {
        self.init()
        var seen: Set<String> = []
        try members.beginObject()
        while let member = try members.nextMember() {
            seen.insert(member)
            switch member {
            case "retentionMs": retentionMs = try members.integerOrNull()
            case "retentionBytes": retentionBytes = try members.integerOrNull()
            case "cleanupPolicy":
                guard let policy = CleanupPolicy(rawValue: try members.text()) else {
                    throw MetadataError(reason: "bad cleanupPolicy")
                }
                cleanupPolicy = policy
            case "segmentBytes": segmentBytes = try members.integer()
            case "maxRecordBytes": maxRecordBytes = Int(try members.integer())
            case "replicationFactor": replicationFactor = Int(try members.integer())
            case "minInsyncReplicas": minInsyncReplicas = Int(try members.integer())
            case "deleteRetentionMs": deleteRetentionMs = try members.integer()
            case "compressionType":
                guard let type = CompressionType(rawValue: try members.text()) else {
                    throw MetadataError(reason: "bad compressionType")
                }
                compressionType = type
            default: throw MetadataError(reason: "unknown member \(member)")
            }
        }
        guard seen.isSuperset(of: Self.required) else {
            throw MetadataError(reason: "a member of configuration is missing")
        }
    }
}

// MARK: - Text

private func closeWithChecksum(_ writer: inout JSONWriter) -> [UInt8] {
    let checksum = crc32c(writer.bytes.span)
    writer.name("checksum")
    writer.string(hex(checksum))
    writer.endObject()
    return writer.bytes + [UInt8(ascii: "\n")]
}

private func hex(_ value: UInt32) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: 8 - text.count) + text
}

/// One object, member by member; the checksum is taken and compared on the way.
private struct MetadataReader {
    private let bytes: [UInt8]
    private var reader: JSONReader
    private var hasBegun = false
    private var hasChecksum = false
    private var seen: Set<String> = []

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        reader = JSONReader(bytes)
    }

    /// The next member of the file's object but the checksum; nil at its end.
    mutating func next() throws(MetadataError) -> String? {
        if !hasBegun {
            try beginObject()
            hasBegun = true
        }
        guard let member = try nextMember() else {
            do { try reader.end() } catch { throw MetadataError(error) }
            return nil
        }
        guard !hasChecksum, seen.insert(member).inserted else {
            throw MetadataError(reason: "member \(member) is not expected here")
        }
        guard member == "checksum" else { return member }
        // In front of the name stand a comma and a quote; the reader is behind name and colon.
        let suffix = Array(",\"checksum\":".utf8)
        let end = reader.position - suffix.count
        guard end > 0, bytes[end..<reader.position].elementsEqual(suffix) else {
            throw MetadataError(reason: "the checksum is not written as it should be")
        }
        guard try text() == hex(crc32c(bytes.span.extracting(0..<end))) else {
            throw MetadataError(reason: "the checksum does not fit the text")
        }
        hasChecksum = true
        return try next()
    }

    mutating func beginObject() throws(MetadataError) {
        do { try reader.beginObject() } catch { throw MetadataError(error) }
    }

    mutating func nextMember() throws(MetadataError) -> String? {
        do {
            guard let name = try reader.nextMember() else { return nil }
            return try reader.text(name)
        } catch { throw MetadataError(error) }
    }

    mutating func text() throws(MetadataError) -> String {
        do { return try reader.text(try reader.readString()) } catch { throw MetadataError(error) }
    }

    mutating func integer() throws(MetadataError) -> Int64 {
        do { return try reader.readInt64() } catch { throw MetadataError(error) }
    }

    mutating func integerOrNull() throws(MetadataError) -> Int64? {
        do {
            guard case .null = try reader.peek() else { return try reader.readInt64() }
            try reader.readNull()
            return nil
        } catch { throw MetadataError(error) }
    }
}

extension MetadataError {
    fileprivate init(_ error: JSONError) {
        self.init(reason: "\(error.explanation) (byte \(error.position))")
    }
}
