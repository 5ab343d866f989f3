import Groups
import TestSupport
import Testing

struct GroupRecordTests {
    private func sample(metadata: String = "worker-1 · fünf") throws -> GroupRecord {
        let group = try #require(GroupID("billing"))
        return .offsetCommitted(
            OffsetKey(group: group, topic: TopicID(high: .max, low: 1), partition: 6),
            CommittedOffset(
                offset: 17, committedAt: 1_700_000_000_000, topicName: "orders",
                metadata: metadata))
    }

    @Test
    func `a record is read back as it was written`() throws {
        let record = try sample()
        #expect(GroupRecord(key: record.encodedKey, value: record.encodedValue) == record)
    }

    /// The bytes are a promise to later versions: version 1 never changes.
    @Test
    func `the encoding of version 1 stands still`() throws {
        let record = try sample(metadata: "m")
        let key: [UInt8] =
            [1, 1, 7] + Array("billing".utf8) + [UInt8](repeating: 0xff, count: 8)
            + [0, 0, 0, 0, 0, 0, 0, 1] + [0, 0, 0, 6]
        let value: [UInt8] =
            [0, 0, 0, 0, 0, 0, 0, 17] + [0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0]
            + [0, 6] + Array("orders".utf8) + [0, 1] + Array("m".utf8)
        #expect(record.encodedKey == key)
        #expect(record.encodedValue == value)
    }

    @Test
    func `a record without a value removes the offset`() throws {
        let record = try sample()
        guard case .offsetCommitted(let key, _) = record else { return }
        #expect(GroupRecord(key: record.encodedKey, value: nil) == .offsetRemoved(key))
        #expect(GroupRecord.offsetRemoved(key).encodedValue == nil)
    }

    @Test
    func `a record cut at any byte is no record`() throws {
        let record = try sample()
        let key = record.encodedKey
        let value = try #require(record.encodedValue)
        for length in 0..<key.count {
            #expect(GroupRecord(key: Array(key.prefix(length)), value: value) == nil)
        }
        for length in 0..<value.count {
            #expect(GroupRecord(key: key, value: Array(value.prefix(length))) == nil)
        }
        #expect(GroupRecord(key: key + [0], value: value) == nil)
        #expect(GroupRecord(key: key, value: value + [0]) == nil)
    }

    @Test
    func `kinds and versions of a later program are passed over`() throws {
        let record = try sample()
        var key = record.encodedKey
        key[0] = 2
        #expect(GroupRecord(key: key, value: record.encodedValue) == nil)
        key = record.encodedKey
        key[1] = 2
        #expect(GroupRecord(key: key, value: record.encodedValue) == nil)
    }

    /// Pitfall 51: bytes from a disk never end the process.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `no bytes trap`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let record = try sample()
        let value = try #require(record.encodedValue)
        for _ in 0..<500 {
            let key = mutate(record.encodedKey, &random)
            let value = mutate(value, &random)
            if let read = GroupRecord(key: key, value: value) {
                #expect(read.encodedKey == key)
                #expect(read.encodedValue == value)
            }
        }
    }

    private func mutate(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            let index = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: bytes.insert(0xff, at: index)
            default: if bytes.count > 1 { bytes.remove(at: index) }
            }
        }
        return bytes
    }
}

struct GroupIDTests {
    @Test(arguments: ["a", "web-1", "A.b_c", String(repeating: "x", count: 249), "..."])
    func `names a topic could have are names of groups`(name: String) {
        #expect(GroupID(name)?.name == name)
    }

    @Test(arguments: [
        "", ".", "..", "a b", "a/b", "ä", "a\0", String(repeating: "x", count: 250), "a\n",
    ])
    func `other names are refused`(name: String) {
        #expect(GroupID(name) == nil)
    }
}

struct TopicIDTests {
    @Test
    func `a UUID is read back as it was written`() {
        let id = TopicID(random: 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210)
        #expect(id.description == "01234567-89ab-4def-bedc-ba9876543210")
        #expect(TopicID(id.description) == id)
    }

    @Test(arguments: [
        "", "01234567-89ab-4def-bedc-ba987654321", "01234567-89AB-4def-bedc-ba9876543210",
        "01234567089ab-4def-bedc-ba9876543210", "01234567-89ab-4def-bedc-ba98765432100",
        "0123456--89ab-4def-bedc-ba9876543210", "../../../../../../../../../../../pas",
    ])
    func `other texts are no UUID`(text: String) {
        #expect(TopicID(text) == nil)
    }
}
