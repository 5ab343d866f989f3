/// The latest offset of each key, by the key's fingerprint, in memory of a fixed size: 24 bytes a
/// slot, of which three in four are used (Kafka's `SkimpyOffsetMap`).
package struct OffsetMap {
    package static let slotByteCount = 24
    private var low: [UInt64]
    private var high: [UInt64]
    /// -1: the slot is free.
    private var offsets: [Int64]
    package private(set) var count = 0
    /// Keys it takes.
    package let limit: Int

    /// Room for `keyCount` keys, or as many as fit in `byteCount`; at least one.
    package init(keyCount: Int, byteCount: Int) {
        let wanted = min(keyCount, byteCount / Self.slotByteCount) / 3 * 4 + 4
        let slotCount = max(4, min(wanted, byteCount / Self.slotByteCount))
        low = Array(repeating: 0, count: slotCount)
        high = Array(repeating: 0, count: slotCount)
        offsets = Array(repeating: -1, count: slotCount)
        limit = slotCount / 4 * 3
    }

    /// Notes a later offset of a key; false, with nothing noted, where the key is new and there is
    /// no room for it.
    package mutating func insert(_ key: KeyHash.Value, at offset: Int64) -> Bool {
        let slot = slot(of: key)
        if offsets[slot] < 0 {
            guard count < limit else { return false }
            count += 1
            low[slot] = key.low
            high[slot] = key.high
        }
        offsets[slot] = offset
        return true
    }

    /// The latest offset noted of a key.
    package func latest(_ key: KeyHash.Value) -> Int64? {
        let offset = offsets[slot(of: key)]
        return offset < 0 ? nil : offset
    }

    /// The key's slot, or the free one where it would be. There always is a free one.
    private func slot(of key: KeyHash.Value) -> Int {
        var slot = Int(key.low % UInt64(offsets.count))
        while offsets[slot] >= 0, low[slot] != key.low || high[slot] != key.high {
            slot += 1
            if slot == offsets.count { slot = 0 }
        }
        return slot
    }
}
