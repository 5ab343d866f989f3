/// Key and value of a record, big-endian; text is UTF-8. The key's kind and version say how both
/// are laid out.
///
///     key      1  kind
///              1  version       1
///              1  group length, and the group          kinds 1 to 5
///              1  member length, and the member        kinds 3 to 5
///     kind                      rest of the key        value
///        1  committed offset   16  topic ID            8  offset
///                               4  partition           8  committedAt, ms since 1970
///                                                      2  length, topic name
///                                                      2  length, metadata
///        2  group                                      8  epoch
///                                                      8  changedAt, ms since 1970
///                                                      8  emptyAge, ms
///                                                      2  length, reason
///                                                      4  count, topics: 16 topic ID,
///                                                         4 partition count, 4 the first one,
///                                                         2 length, name
///        3  member                                     8  sessionTimeout, ms
///                                                      8  rebalanceTimeout, ms
///                                                      1  assignor, 0 for none
///                                                      1  startFrom
///                                                      8  joinedAt, ms since 1970
///                                                      8  joinEpoch
///                                                      4  count, topics: 2 length, name
///        4  target assignment                             partitions
///        5  assignment                                 8  epoch
///                                                      8  since, ms since 1970
///                                                      2  length, reason
///                                                         partitions owned
///                                                         partitions revoking
///                                                      4  count, released: 16 topic ID,
///                                                         4 partition, 8 offset
///        6  epoch floor                                8  epoch
///
///     partitions               4  count, topics: 16 topic ID, 4 count, 4 each partition
///
/// What is counted stands in ascending order, none twice.
extension GroupRecord {
    private enum Kind: UInt8 {
        case offset = 1
        case group = 2
        case member = 3
        case target = 4
        case assignment = 5
        case epochFloor = 6
    }

    private static let version: UInt8 = 1

    package var encodedKey: [UInt8] {
        var bytes = FieldWriter()
        func begin(_ kind: Kind, _ names: String...) {
            bytes.byte(kind.rawValue)
            bytes.byte(Self.version)
            for name in names { bytes.name(name) }
        }
        switch self {
        case .offsetCommitted(let key, _), .offsetRemoved(let key):
            begin(.offset, key.group.name)
            bytes.topic(key.topic)
            bytes.int32(key.partition)
        case .group(let group, _): begin(.group, group.name)
        case .member(let key, _): begin(.member, key.group.name, key.member.name)
        case .target(let key, _): begin(.target, key.group.name, key.member.name)
        case .assignment(let key, _): begin(.assignment, key.group.name, key.member.name)
        case .epochFloor: begin(.epochFloor)
        }
        return bytes.bytes
    }

    package var encodedValue: [UInt8]? {
        var bytes = FieldWriter()
        switch self {
        case .offsetCommitted(_, let committed): committed.write(to: &bytes)
        case .offsetRemoved: return nil
        case .group(_, let metadata):
            guard let metadata else { return nil }
            metadata.write(to: &bytes)
        case .member(_, let metadata):
            guard let metadata else { return nil }
            metadata.write(to: &bytes)
        case .target(_, let target):
            guard let target else { return nil }
            bytes.partitions(target)
        case .assignment(_, let assignment):
            guard let assignment else { return nil }
            assignment.write(to: &bytes)
        case .epochFloor(let epoch): bytes.int64(epoch)
        }
        return bytes.bytes
    }

    /// nil for a kind or version this program does not know, and for bytes that are no record at
    /// all: such a record is passed over and stays in the log.
    package init?(key: [UInt8], value: [UInt8]?) {
        var key = FieldReader(key)
        guard let kind = key.byte().flatMap(Kind.init(rawValue:)), key.byte() == Self.version
        else { return nil }
        var fields = FieldReader(value ?? [])
        let record: GroupRecord?
        switch kind {
        case .offset:
            guard let group = key.group(), let topic = key.topic(), let partition = key.count()
            else { return nil }
            let offsetKey = OffsetKey(group: group, topic: topic, partition: partition)
            record =
                value == nil
                ? .offsetRemoved(offsetKey)
                : CommittedOffset(&fields).map { .offsetCommitted(offsetKey, $0) }
        case .group:
            guard let group = key.group() else { return nil }
            record =
                value == nil ? .group(group, nil) : GroupMetadata(&fields).map { .group(group, $0) }
        case .member:
            guard let member = key.member() else { return nil }
            record =
                value == nil
                ? .member(member, nil) : MemberMetadata(&fields).map { .member(member, $0) }
        case .target:
            guard let member = key.member() else { return nil }
            record =
                value == nil
                ? .target(member, nil) : fields.partitions().map { .target(member, $0) }
        case .assignment:
            guard let member = key.member() else { return nil }
            record =
                value == nil
                ? .assignment(member, nil)
                : MemberAssignment(&fields).map { .assignment(member, $0) }
        case .epochFloor: record = fields.exact().map { .epochFloor($0) }
        }
        guard let record, key.isAtEnd, fields.isAtEnd else { return nil }
        // What is counted may stand in one order only; the others have but one form anyway.
        guard kind == .offset || record.encodedValue == value else { return nil }
        self = record
    }
}

extension CommittedOffset {
    fileprivate func write(to bytes: inout FieldWriter) {
        precondition(topicName.utf8.count <= Limits.topicNameBytes)
        precondition(metadata.utf8.count <= Limits.metadataBytes)
        bytes.int64(offset)
        bytes.int64(committedAt)
        bytes.text(topicName)
        bytes.text(metadata)
    }

    fileprivate init?(_ fields: inout FieldReader) {
        guard let offset = fields.positive(), let committedAt = fields.int64(),
            let topicName = fields.text(Limits.topicNameBytes),
            let metadata = fields.text(Limits.metadataBytes)
        else { return nil }
        self.init(
            offset: offset, committedAt: committedAt, topicName: topicName, metadata: metadata)
    }
}

extension GroupMetadata {
    fileprivate func write(to bytes: inout FieldWriter) {
        bytes.int64(epoch)
        bytes.int64(changedAt)
        bytes.int64(emptyAge)
        bytes.text(reason)
        bytes.int32(Int32(topics.count))
        for (id, topic) in topics.sorted(by: {
            ($0.key.high, $0.key.low) < ($1.key.high, $1.key.low)
        }) {
            bytes.topic(id)
            bytes.int32(topic.partitionCount)
            bytes.int32(topic.firstPartitionCount)
            bytes.text(topic.name)
        }
    }

    fileprivate init?(_ fields: inout FieldReader) {
        guard let epoch = fields.exact(), let changedAt = fields.int64(),
            let emptyAge = fields.exact(), let reason = fields.text(Limits.reasonBytes),
            let count = fields.count()
        else { return nil }
        var topics: [TopicID: GroupTopic] = [:]
        for _ in 0..<count {
            guard let id = fields.topic(), let partitionCount = fields.count(),
                let firstPartitionCount = fields.count(),
                let name = fields.text(Limits.topicNameBytes)
            else { return nil }
            topics[id] = GroupTopic(
                name: name, partitionCount: partitionCount,
                firstPartitionCount: firstPartitionCount)
        }
        self.init(
            epoch: epoch, topics: topics, changedAt: changedAt, reason: reason, emptyAge: emptyAge)
    }
}

extension MemberMetadata {
    fileprivate func write(to bytes: inout FieldWriter) {
        bytes.int64(sessionTimeout)
        bytes.int64(rebalanceTimeout)
        bytes.byte(assignor?.rawValue ?? 0)
        bytes.byte(startFrom.rawValue)
        bytes.int64(joinedAt)
        bytes.int64(joinEpoch)
        bytes.int32(Int32(topics.count))
        for topic in topics { bytes.text(topic) }
    }

    fileprivate init?(_ fields: inout FieldReader) {
        guard let sessionTimeout = fields.int64(), Limits.sessionTimeout.contains(sessionTimeout),
            let rebalanceTimeout = fields.int64(),
            Limits.rebalanceTimeout.contains(rebalanceTimeout), let code = fields.byte(),
            let startFrom = fields.byte().flatMap(StartFrom.init(rawValue:)),
            let joinedAt = fields.int64(), let joinEpoch = fields.exact(),
            let count = fields.count()
        else { return nil }
        let assignor = Assignor(rawValue: code)
        guard code == 0 || assignor != nil else { return nil }
        var topics: [String] = []
        for _ in 0..<count {
            guard let topic = fields.text(Limits.topicNameBytes) else { return nil }
            topics.append(topic)
        }
        self.init(
            topics: topics, sessionTimeout: sessionTimeout, rebalanceTimeout: rebalanceTimeout,
            assignor: assignor, startFrom: startFrom, joinedAt: joinedAt)
        self.joinEpoch = joinEpoch
    }
}

extension MemberAssignment {
    fileprivate func write(to bytes: inout FieldWriter) {
        bytes.int64(epoch)
        bytes.int64(since)
        bytes.text(reason)
        bytes.partitions(owned)
        bytes.partitions(revoking)
        bytes.int32(Int32(released.count))
        for (place, offset) in released.sorted(by: { $0.key < $1.key }) {
            bytes.topic(place.topic)
            bytes.int32(place.partition)
            bytes.int64(offset)
        }
    }

    fileprivate init?(_ fields: inout FieldReader) {
        guard let epoch = fields.exact(), let since = fields.int64(),
            let reason = fields.text(Limits.reasonBytes), let owned = fields.partitions(),
            let revoking = fields.partitions(), let count = fields.count()
        else { return nil }
        var released: [TopicPartition: Int64] = [:]
        for _ in 0..<count {
            guard let topic = fields.topic(), let partition = fields.count(),
                let offset = fields.positive()
            else { return nil }
            released[TopicPartition(topic, partition)] = offset
        }
        self.init(
            epoch: epoch, owned: owned, revoking: revoking, released: released, since: since,
            reason: reason)
    }
}
