import Groups

/// Records of the groups' state log: what is read is written as it is read. A coordinator that
/// replays them answers, lets time pass, and writes records that the next start reads.
///
/// A record is the length of its key (1 byte), of its value (2 bytes, FF FF for none), and both.
@Sendable
func checkGroupRecords(_ bytes: [UInt8]) throws(Contradiction) {
    var shard = GroupShard()
    for (key, value) in split(bytes) {
        guard let record = GroupRecord(key: key, value: value) else { continue }
        try checkCoding(record)
        shard.replay(record)
    }
    var now = Duration.seconds(1)
    shard.start(now: now)
    for _ in 0..<8 {
        for id in shard.state.groupIDs { try check(shard, id) }
        now += .seconds(3600)
        for due in shard.due(now: now) {
            let records = shard.expire(due, wall: 1, topics: { _ in nil })
            for record in records { try checkCoding(record) }
            _ = shard.apply(records, now: now)
        }
    }
}

private func check(_ shard: GroupShard, _ id: GroupID) throws(Contradiction) {
    guard let description = shard.describe(id) else {
        throw Contradiction(description: "\(id.name) is listed and cannot be described")
    }
    for member in description.members {
        let key = MemberKey(id, member.member)
        let polled = try? shard.poll(key, epoch: member.epoch, commit: [], wall: 1)
        for record in polled ?? [] { try checkCoding(record) }
        let joined = try? shard.join(
            key, member.metadata, wall: 1,
            topics: { _ in TopicShape(TopicID(high: 1, low: 2), partitionCount: 3) })
        for record in joined ?? [] { try checkCoding(record) }
    }
}

private func checkCoding(_ record: GroupRecord) throws(Contradiction) {
    let again = GroupRecord(key: record.encodedKey, value: record.encodedValue)
    try claim(again == record, "\(record) is written, and read as \(again.debugDescription)")
}

private func split(_ bytes: [UInt8]) -> [(key: [UInt8], value: [UInt8]?)] {
    var records: [(key: [UInt8], value: [UInt8]?)] = []
    var rest = bytes[...]
    while rest.count >= 3 {
        let keyCount = Int(rest.removeFirst())
        let valueCount = Int(rest.removeFirst()) << 8 | Int(rest.removeFirst())
        let key = Array(rest.prefix(keyCount))
        rest = rest.dropFirst(keyCount)
        if valueCount == 0xFFFF {
            records.append((key, nil))
        } else {
            records.append((key, Array(rest.prefix(valueCount))))
            rest = rest.dropFirst(valueCount)
        }
    }
    return records
}
