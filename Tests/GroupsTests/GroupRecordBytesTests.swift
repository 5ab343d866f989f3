import Groups
import TestSupport
import Testing

/// The bytes of every kind of record, as a history of a group writes them.
struct GroupRecordBytesTests {
    private static let records: [GroupRecord] = {
        var group = GroupFixture(partitions: 3, 2)
        do {
            try group.join("a", [1, 2], assignor: .sticky)
            try group.join("b", [1, 2])
            try group.poll("a", GroupFixture.entry(1, 0, 5), GroupFixture.entry(2, 1, 1 << 40))
            if let lost = group.assignment("a")?.revoking.min() {
                try group.poll(
                    "a", GroupFixture.entry(Int(lost.topic.high), lost.partition, 6))
            }
            try group.poll("b")
            group.topics["t2"] = nil
            group.refresh()
            for name in ["a", "b"] { try group.leave(name) }
            group.apply(try group.shard.delete(GroupFixture.group))
        } catch { Issue.record("\(error)") }
        var records: [GroupRecord] = []
        for record in group.log where !records.contains(record) { records.append(record) }
        return records
    }()

    private func read(_ key: [UInt8], _ value: [UInt8]?) -> GroupRecord? {
        GroupRecord(key: key, value: value)
    }

    @Test
    func `the history has each kind, with a value and without, and every field in use`() {
        let kinds = Set(Self.records.map { [$0.encodedKey[0], $0.encodedValue == nil ? 0 : 1] })
        #expect(kinds == Set((1...5).flatMap { [[$0, 0], [$0, 1]] } + [[6, 1]]))
        #expect(
            Self.records.contains {
                guard case .assignment(_, let assignment?) = $0 else { return false }
                return !assignment.revoking.isEmpty
            })
        #expect(
            Self.records.contains {
                guard case .assignment(_, let assignment?) = $0 else { return false }
                return !assignment.released.isEmpty
            })
    }

    @Test
    func `each is read back as it was written`() {
        for record in Self.records {
            #expect(read(record.encodedKey, record.encodedValue) == record)
        }
    }

    /// Pitfall 51.
    @Test
    func `each that is cut at any byte, or goes on behind its end, is none`() {
        for record in Self.records {
            let (key, value) = (record.encodedKey, record.encodedValue)
            for end in key.indices { #expect(read(Array(key[..<end]), value) == nil) }
            #expect(read(key + [0], value) == nil)
            guard let value else { continue }
            for end in value.indices { #expect(read(key, Array(value[..<end])) == nil) }
            #expect(read(key, value + [0]) == nil)
        }
    }

    /// Pitfall 51. The log's own checksum finds such damage before; were it not there, no byte is
    /// passed over: another byte is another record, or none.
    @Test
    func `no one byte can change without the record being another, or none`() {
        for record in Self.records {
            let (key, value) = (record.encodedKey, record.encodedValue)
            for index in key.indices {
                for byte in Self.others(key[index]) {
                    var changed = key
                    changed[index] = byte
                    guard let found = read(changed, value) else { continue }
                    #expect(found.encodedKey == changed && found != record)
                }
            }
            for index in (value ?? []).indices {
                for byte in Self.others(value![index]) {
                    var changed = value!
                    changed[index] = byte
                    guard let found = read(key, changed) else { continue }
                    #expect(found.encodedValue == changed && found != record)
                }
            }
        }
    }

    /// Every flipped bit, and the ends.
    private static func others(_ byte: UInt8) -> Set<UInt8> {
        Set((0..<8).map { byte ^ 1 << $0 } + [0, 1, 0x7f, 0x80, 0xff]).subtracting([byte])
    }

    /// A length or count that says more than there is must not allocate it.
    @Test(arguments: [[0xff, 0xff, 0xff, 0xff], [0x7f, 0xff, 0xff, 0xff]] as [[UInt8]])
    func `no four bytes of a length end the process`(count: [UInt8]) {
        for record in Self.records {
            guard let value = record.encodedValue, value.count >= 4 else { continue }
            for start in 0...value.count - 4 {
                var changed = value
                changed.replaceSubrange(start..<start + 4, with: count)
                guard let found = read(record.encodedKey, changed) else { continue }
                #expect(found.encodedValue == changed)
            }
        }
    }

    @Test
    func `partitions in another order are no record`() throws {
        let place = GroupFixture.place
        let record = GroupRecord.target(
            GroupFixture.member("m"), [place(1, 0, 1), place(1, 1, 1)])
        var value = try #require(record.encodedValue)
        let end = value.count
        (value[end - 1], value[end - 5]) = (value[end - 5], value[end - 1])
        #expect(read(record.encodedKey, value) == nil)
    }
}
