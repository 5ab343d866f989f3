/// Kafka's 32-bit MurmurHash2 (`org.apache.kafka.common.utils.Utils.murmur2`): seed 0x9747b28c,
/// words read little-endian. Its default partitioner places a key by it, and so do we.
package func murmur2(_ bytes: Span<UInt8>) -> Int32 {
    let multiplier: UInt32 = 0x5bd1_e995
    let count = bytes.count
    var hash = 0x9747_b28c ^ UInt32(truncatingIfNeeded: count)
    var index = 0
    while count - index >= 4 {
        var word =
            UInt32(bytes[index]) | UInt32(bytes[index + 1]) << 8
            | UInt32(bytes[index + 2]) << 16 | UInt32(bytes[index + 3]) << 24
        word = word &* multiplier
        word ^= word >> 24
        hash = (hash &* multiplier) ^ (word &* multiplier)
        index += 4
    }
    let left = count - index
    if left == 3 { hash ^= UInt32(bytes[index + 2]) << 16 }
    if left >= 2 { hash ^= UInt32(bytes[index + 1]) << 8 }
    if left >= 1 { hash = (hash ^ UInt32(bytes[index])) &* multiplier }
    hash ^= hash >> 13
    hash = hash &* multiplier
    hash ^= hash >> 15
    return Int32(bitPattern: hash)
}

/// Where a key belongs among `count` partitions: Kafka's `toPositive(murmur2(key)) % count`.
package func murmur2Partition(_ key: Span<UInt8>, of count: Int) -> Int {
    Int(murmur2(key) & 0x7fff_ffff) % count
}
