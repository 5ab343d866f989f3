/// The durable, compacted log of the group coordinator. Each shard is a partition of an internal
/// topic with one owner; the latest record of a key is its state, a record without a value ends it.
package protocol StateLog: Sendable {
    var shardCount: Int { get }

    /// Puts records in the shard's order at once; they count when `durable` returns.
    func append(_ records: [StateRecord], to shard: Int) throws(BackendError) -> StateTicket

    /// Returns once the records of the ticket, and all in front of them, would survive a power cut.
    func durable(_ ticket: StateTicket) async throws(BackendError)

    /// Every record of the shard in order, a batch at a time, up to the present end.
    func replay(_ shard: Int, _ body: ([StateRecord]) -> Void) async throws(BackendError)
}

package struct StateRecord: Equatable, Sendable {
    package var key: [UInt8]
    /// nil ends the key.
    package var value: [UInt8]?

    package init(key: [UInt8], value: [UInt8]?) {
        self.key = key
        self.value = value
    }
}

/// A place in a shard's order.
package struct StateTicket: Comparable, Sendable {
    package var shard: Int
    package var nextOffset: Offset

    package init(shard: Int, nextOffset: Offset) {
        self.shard = shard
        self.nextOffset = nextOffset
    }

    package static func < (left: StateTicket, right: StateTicket) -> Bool {
        left.nextOffset < right.nextOffset
    }
}
