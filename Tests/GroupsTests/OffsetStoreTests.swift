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
        let key = OffsetKey(group: group, topic: topic, partition: partition)
        store.apply(.offsetCommitted(key, committed(offset)))
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
        store.apply(.offsetRemoved(OffsetKey(group: group, topic: audit, partition: 1)))
        store.apply(.offsetRemoved(OffsetKey(group: other, topic: audit, partition: 1)))
        #expect(store.groups == [group])
        store.apply(.offsetRemoved(OffsetKey(group: group, topic: orders, partition: 0)))
        store.apply(.offsetRemoved(OffsetKey(group: group, topic: orders, partition: 0)))
        #expect(store == OffsetStore())
    }

    @Test
    func `records that are no offsets change no offset`() throws {
        var store = OffsetStore()
        let key = MemberKey(try #require(GroupID("g")), try #require(MemberID("m")))
        let records: [GroupRecord] = [
            .group(key.group, nil), .member(key, nil), .target(key, nil), .assignment(key, nil),
            .epochFloor(7),
        ]
        for record in records { store.apply(record) }
        #expect(store == OffsetStore())
    }
}
