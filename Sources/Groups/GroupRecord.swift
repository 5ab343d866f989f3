/// One durable fact about a group. Appended to the state log, then applied; replayed at start.
package enum GroupRecord: Equatable, Sendable {
    case offsetCommitted(OffsetKey, CommittedOffset)
    case offsetRemoved(OffsetKey)
}

/// Whose offset it is.
package struct OffsetKey: Hashable, Sendable {
    package var group: GroupID
    package var topic: TopicID
    package var partition: Int32

    package init(group: GroupID, topic: TopicID, partition: Int32) {
        self.group = group
        self.topic = topic
        self.partition = partition
    }
}

/// What was committed for one partition.
package struct CommittedOffset: Equatable, Sendable {
    /// The first offset not yet processed.
    package var offset: Int64
    /// Milliseconds since 1970.
    package var committedAt: Int64
    /// The topic's name, for people; the topic is known by its ID.
    package var topicName: String
    /// What the client keeps with it, at most `Limits.metadataBytes`.
    package var metadata: String

    package init(offset: Int64, committedAt: Int64, topicName: String, metadata: String) {
        self.offset = offset
        self.committedAt = committedAt
        self.topicName = topicName
        self.metadata = metadata
    }
}

// MARK: - Encoding

/// Key and value of a record, big-endian. The key's kind and version say how both are laid out.
///
///     key of a committed offset               value, absent where the offset is removed
///     at  size  field                         at  size  field
///      0     1  kind           1               0     8  offset
///      1     1  version        1               8     8  committedAt         ms since 1970
///      2     1  group length   g              16     2  topic name length   t
///      3     g  group                         18     t  topic name          UTF-8
///    3+g    16  topic ID                     18+t    2  metadata length     m
///   19+g     4  partition                    20+t    m  metadata            UTF-8
///
/// Kinds 2 to 15 are kept for membership: group, member, target and current assignment.
extension GroupRecord {
    private static let committedOffsetKind: UInt8 = 1
    private static let version: UInt8 = 1

    package var encodedKey: [UInt8] {
        let key =
            switch self {
            case .offsetCommitted(let key, _), .offsetRemoved(let key): key
            }
        let group = key.group.name.utf8
        var bytes: [UInt8] = []
        bytes.reserveCapacity(23 + group.count)
        bytes.append(Self.committedOffsetKind)
        bytes.append(Self.version)
        bytes.append(UInt8(group.count))
        bytes.append(contentsOf: group)
        append(key.topic.high, to: &bytes)
        append(key.topic.low, to: &bytes)
        append(UInt32(bitPattern: key.partition), to: &bytes)
        return bytes
    }

    package var encodedValue: [UInt8]? {
        guard case .offsetCommitted(_, let committed) = self else { return nil }
        let topicName = committed.topicName.utf8
        let metadata = committed.metadata.utf8
        precondition(topicName.count <= Limits.topicNameBytes)
        precondition(metadata.count <= Limits.metadataBytes)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(20 + topicName.count + metadata.count)
        append(UInt64(bitPattern: committed.offset), to: &bytes)
        append(UInt64(bitPattern: committed.committedAt), to: &bytes)
        append(UInt16(topicName.count), to: &bytes)
        bytes.append(contentsOf: topicName)
        append(UInt16(metadata.count), to: &bytes)
        bytes.append(contentsOf: metadata)
        return bytes
    }

    /// nil for a kind or version this program does not know, and for bytes that are no record at
    /// all: such a record is passed over and stays in the log.
    package init?(key: [UInt8], value: [UInt8]?) {
        var fields = Fields(key)
        guard fields.byte() == Self.committedOffsetKind, fields.byte() == Self.version,
            let groupLength = fields.byte(), let name = fields.text(Int(groupLength)),
            let group = GroupID(name), let high = fields.uint64(), let low = fields.uint64(),
            let partition = fields.uint32(), partition <= UInt32(Int32.max), fields.isAtEnd
        else { return nil }
        let key = OffsetKey(
            group: group, topic: TopicID(high: high, low: low), partition: Int32(partition))
        guard let value else {
            self = .offsetRemoved(key)
            return
        }
        guard let committed = Self.committedOffset(value) else { return nil }
        self = .offsetCommitted(key, committed)
    }

    private static func committedOffset(_ bytes: [UInt8]) -> CommittedOffset? {
        var fields = Fields(bytes)
        guard let offset = fields.uint64(), offset <= UInt64(Int64.max),
            let committedAt = fields.uint64(),
            let nameLength = fields.uint16(), nameLength <= Limits.topicNameBytes,
            let topicName = fields.text(Int(nameLength)),
            let metadataLength = fields.uint16(), metadataLength <= Limits.metadataBytes,
            let metadata = fields.text(Int(metadataLength)), fields.isAtEnd
        else { return nil }
        return CommittedOffset(
            offset: Int64(offset), committedAt: Int64(bitPattern: committedAt),
            topicName: topicName, metadata: metadata)
    }
}

private func append(_ value: UInt64, to bytes: inout [UInt8]) {
    append(UInt32(truncatingIfNeeded: value >> 32), to: &bytes)
    append(UInt32(truncatingIfNeeded: value), to: &bytes)
}

private func append(_ value: UInt32, to bytes: inout [UInt8]) {
    append(UInt16(truncatingIfNeeded: value >> 16), to: &bytes)
    append(UInt16(truncatingIfNeeded: value), to: &bytes)
}

private func append(_ value: UInt16, to bytes: inout [UInt8]) {
    bytes.append(UInt8(truncatingIfNeeded: value >> 8))
    bytes.append(UInt8(truncatingIfNeeded: value))
}

/// Takes one field after the other; nil where the bytes end too early.
private struct Fields {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func byte() -> UInt8? {
        guard position < bytes.count else { return nil }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func uint16() -> UInt16? {
        guard let high = byte(), let low = byte() else { return nil }
        return UInt16(high) << 8 | UInt16(low)
    }

    mutating func uint32() -> UInt32? {
        guard let high = uint16(), let low = uint16() else { return nil }
        return UInt32(high) << 16 | UInt32(low)
    }

    mutating func uint64() -> UInt64? {
        guard let high = uint32(), let low = uint32() else { return nil }
        return UInt64(high) << 32 | UInt64(low)
    }

    /// nil also where the bytes are not UTF-8.
    mutating func text(_ byteCount: Int) -> String? {
        guard byteCount <= bytes.count - position else { return nil }
        defer { position += byteCount }
        return String(validating: bytes[position..<position + byteCount], as: UTF8.self)
    }
}
