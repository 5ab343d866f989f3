import Groups
import TestSupport
import Testing

struct OffsetStoreTests {
    private let orders = TopicID(high: 1, low: 2)
    private let audit = TopicID(high: 3, low: 4)

    private func committed(_ offset: Int64, metadata: String = "") -> CommittedOffset {
        CommittedOffset(offset: offset, committedAt: 7, topicName: "orders", metadata: metadata)
    }

    private func commit(
        _ group: GroupID, _ topic: TopicID, _ partition: Int32, _ offset: Int64,
        to store: inout OffsetStore
    ) {
        for record in store.commit(group, [(topic, partition, committed(offset))]) {
            store.apply(record)
        }
    }

    @Test
    func `deciding changes nothing until the record is applied`() throws {
        let store = OffsetStore()
        let group = try #require(GroupID("g"))
        let records = store.commit(group, [(orders, 0, committed(5))])
        #expect(records.count == 1)
        #expect(!store.contains(group))
    }

    /// Pitfall 44: the last commit in the log's order holds, and the order is the caller's.
    @Test
    func `a lower offset replaces a higher one, as in Kafka`() throws {
        var store = OffsetStore()
        let group = try #require(GroupID("g"))
        commit(group, orders, 0, 20, to: &store)
        commit(group, orders, 0, 10, to: &store)
        let key = OffsetKey(group: group, topic: orders, partition: 0)
        #expect(store.committed(key)?.offset == 10)
    }

    /// Pitfall 27.
    @Test
    func `a topic created again under its name has no committed offsets of the old one`() throws {
        var store = OffsetStore()
        let group = try #require(GroupID("g"))
        commit(group, orders, 0, 20, to: &store)
        let key = OffsetKey(group: group, topic: audit, partition: 0)
        #expect(store.committed(key) == nil)
    }

    @Test
    func `a group ends with its last offset, and leaves nothing behind`() throws {
        var store = OffsetStore()
        let group = try #require(GroupID("g"))
        let other = try #require(GroupID("h"))
        commit(group, orders, 0, 1, to: &store)
        commit(group, audit, 1, 1, to: &store)
        commit(other, audit, 1, 1, to: &store)
        for record in store.remove(audit) { store.apply(record) }
        #expect(store.groups == [group])
        for record in store.remove(group) { store.apply(record) }
        #expect(store == OffsetStore())
    }

    /// Pitfall 35, over random histories: what a restart replays is what was there.
    @Test(arguments: 0..<50 as Range<UInt64>)
    func `the replayed state is the live state`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var live = OffsetStore()
        var log: [(key: [UInt8], value: [UInt8]?)] = []
        for _ in 0..<200 {
            let group = try #require(GroupID("g\(Int.random(in: 0..<5, using: &random))"))
            let topic = Bool.random(using: &random) ? orders : audit
            let records =
                switch Int.random(in: 0..<12, using: &random) {
                case 0: live.remove(group)
                case 1: live.remove(topic)
                default:
                    live.commit(
                        group,
                        [
                            (
                                topic, Int32.random(in: 0..<4, using: &random),
                                committed(Int64.random(in: 0...(.max), using: &random))
                            )
                        ])
                }
            for record in records {
                log.append((record.encodedKey, record.encodedValue))
                live.apply(record)
            }
        }
        var replayed = OffsetStore()
        for (key, value) in log {
            replayed.apply(try #require(GroupRecord(key: key, value: value)))
        }
        #expect(replayed == live)
        // Compacted, the log gives the same state once more.
        var compacted = OffsetStore()
        var latest: [[UInt8]: [UInt8]?] = [:]
        for (key, value) in log { latest.updateValue(value, forKey: key) }
        for (key, value) in latest {
            compacted.apply(try #require(GroupRecord(key: key, value: value)))
        }
        #expect(compacted == live)
    }
}
