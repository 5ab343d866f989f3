/// Writes one field behind the other, big-endian.
struct FieldWriter {
    private(set) var bytes: [UInt8] = []

    mutating func byte(_ value: UInt8) { bytes.append(value) }

    mutating func int64(_ value: Int64) {
        int32(Int32(truncatingIfNeeded: value >> 32))
        int32(Int32(truncatingIfNeeded: value))
    }

    mutating func int32(_ value: Int32) {
        for shift in [24, 16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    mutating func topic(_ id: TopicID) {
        int64(Int64(bitPattern: id.high))
        int64(Int64(bitPattern: id.low))
    }

    /// Length in one byte.
    mutating func name(_ name: String) {
        byte(UInt8(name.utf8.count))
        bytes.append(contentsOf: name.utf8)
    }

    /// Length in two bytes.
    mutating func text(_ text: String) {
        let count = UInt16(text.utf8.count)
        byte(UInt8(truncatingIfNeeded: count >> 8))
        byte(UInt8(truncatingIfNeeded: count))
        bytes.append(contentsOf: text.utf8)
    }

    mutating func partitions(_ partitions: Set<TopicPartition>) {
        let sorted = partitions.sorted()
        let topics = sorted.indices.filter { $0 == 0 || sorted[$0].topic != sorted[$0 - 1].topic }
        int32(Int32(topics.count))
        for (index, first) in topics.enumerated() {
            let end = index + 1 < topics.count ? topics[index + 1] : sorted.count
            topic(sorted[first].topic)
            int32(Int32(end - first))
            for place in sorted[first..<end] { int32(place.partition) }
        }
    }
}

/// Takes one field after the other; nil where the bytes end too early or hold no such field.
struct FieldReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func byte() -> UInt8? {
        guard position < bytes.count else { return nil }
        defer { position += 1 }
        return bytes[position]
    }

    private mutating func unsigned(_ byteCount: Int) -> UInt64? {
        guard byteCount <= bytes.count - position else { return nil }
        defer { position += byteCount }
        return bytes[position..<position + byteCount].reduce(0) { $0 << 8 | UInt64($1) }
    }

    mutating func int64() -> Int64? { unsigned(8).map { Int64(bitPattern: $0) } }

    /// An Int64 from 0 on.
    mutating func positive() -> Int64? { int64().flatMap { $0 >= 0 ? $0 : nil } }

    /// An Int64 from 0 to 2^53, which JSON holds exactly and which can be counted up from.
    mutating func exact() -> Int64? { int64().flatMap { 0...1 << 53 ~= $0 ? $0 : nil } }

    /// An Int32 from 0 on: a count, or a partition. A count bounds nothing by itself: whoever
    /// reads that many fields stops where the bytes end.
    mutating func count() -> Int32? { unsigned(4).flatMap { Int32(exactly: $0) } }

    mutating func topic() -> TopicID? {
        guard let high = unsigned(8), let low = unsigned(8) else { return nil }
        return TopicID(high: high, low: low)
    }

    mutating func group() -> GroupID? { name().flatMap { GroupID($0) } }

    mutating func member() -> MemberKey? {
        guard let group = group(), let member = name().flatMap({ MemberID($0) }) else { return nil }
        return MemberKey(group, member)
    }

    private mutating func name() -> String? { byte().flatMap { utf8(Int($0)) } }

    /// nil also where the text is longer than `limit` bytes.
    mutating func text(_ limit: Int) -> String? {
        guard let count = unsigned(2), count <= limit else { return nil }
        return utf8(Int(count))
    }

    private mutating func utf8(_ byteCount: Int) -> String? {
        guard byteCount <= bytes.count - position else { return nil }
        defer { position += byteCount }
        return String(validating: bytes[position..<position + byteCount], as: UTF8.self)
    }

    mutating func partitions() -> Set<TopicPartition>? {
        guard let topicCount = count() else { return nil }
        var partitions: Set<TopicPartition> = []
        for _ in 0..<topicCount {
            guard let topic = topic(), let partitionCount = count() else { return nil }
            for _ in 0..<partitionCount {
                guard let partition = count() else { return nil }
                partitions.insert(TopicPartition(topic, partition))
            }
        }
        return partitions
    }
}
