import Backends

/// Where one partition is read next.
struct ReadPosition {
    let topic: any Topic
    let partition: Int
    var next: Offset
    /// Begun at the partition's start because nothing named an offset: when retention moves the
    /// start away between two looks, this follows it instead of answering 410.
    var followsStart: Bool
}

/// How a read was told to begin.
enum ReadStart {
    case offset(Offset)
    case cursor(Cursor)
    case earliest
    case latest
    /// Milliseconds since 1970.
    case timestamp(Int64)
    /// The last records of each partition.
    case tail(Int64)

    /// Whether the same request begins at the same records for ever.
    var isFixed: Bool {
        switch self {
        case .offset, .cursor: true
        case .earliest, .latest, .timestamp, .tail: false
        }
    }

    /// `from=earliest|latest|<timestamp ms>|tail:<n>`.
    init(from text: String) throws(Problem) {
        let count = text.hasPrefix("tail:") ? Int64(text.dropFirst(5)) : nil
        if text == "earliest" {
            self = .earliest
        } else if text == "latest" {
            self = .latest
        } else if let count, count > 0, text.utf8.dropFirst(5).first != UInt8(ascii: "+") {
            self = .tail(count)
        } else if let timestamp = Int64(text), timestamp >= 0, text.utf8.first != UInt8(ascii: "+")
        {
            self = .timestamp(timestamp)
        } else {
            throw Problem(
                .invalidParameter,
                "`from` must be `earliest`, `latest`, a timestamp in milliseconds since 1970, or "
                    + "`tail:` and a number of records from 1 on.",
                [("parameter", .string("from"))])
        }
    }
}

extension ReadStart {
    /// The positions this start means on one partition of `topic`, or on all of them.
    func positions(
        in topic: any Topic, partition: Int?
    ) async throws(Problem) -> [ReadPosition] {
        if case .cursor(let cursor) = self { try check(cursor, topic, partition) }
        let partitions = partition.map { $0...$0 } ?? 0...(topic.partitionCount - 1)
        var positions: [ReadPosition] = []
        positions.reserveCapacity(partitions.count)
        for partition in partitions {
            positions.append(try await position(in: topic, partition))
        }
        return positions
    }

    private func position(in topic: any Topic, _ partition: Int) async throws(Problem)
        -> ReadPosition
    {
        do throws(BackendError) {
            if case .timestamp(let timestamp) = self {
                let next = try await topic.offset(partition, atOrAfter: timestamp)
                return ReadPosition(
                    topic: topic, partition: partition, next: next, followsStart: true)
            }
            return try place(in: topic, partition)
        } catch {
            throw Problem(error)
        }
    }

    /// Without a look into the log, and of a partition that failed where the start names an offset.
    @inline(never)
    private func place(in topic: any Topic, _ partition: Int) throws(BackendError) -> ReadPosition {
        var place = ReadPosition(
            topic: topic, partition: partition, next: Offset(0), followsStart: false)
        switch self {
        case .offset(let offset): place.next = offset
        case .latest: place.next = try topic.bounds(partition).highWatermark
        case .tail(let count):
            let bounds = try topic.bounds(partition)
            let distance = bounds.highWatermark.value - bounds.logStart.value
            place.next = Offset(bounds.highWatermark.value - min(distance, count))
            place.followsStart = true
        case .cursor(let cursor):
            if let entry = cursor.entries.first(where: { $0.partition == partition }) {
                place.next = entry.next
                break
            }
            fallthrough
        case .earliest, .timestamp:
            place.next = try topic.bounds(partition).logStart
            place.followsStart = true
        }
        return place
    }

    private func check(_ cursor: Cursor, _ topic: any Topic, _ partition: Int?) throws(Problem) {
        if cursor.tags.count == 1 { try topic.check(tag: cursor.tags[0]) }
        for entry in cursor.entries {
            if let name = entry.topic, name != topic.name {
                throw Problem(
                    .invalidCursor, "The cursor names topic `\(name)`; this reads `\(topic.name)`.")
            }
            if let partition, entry.partition != partition {
                throw Problem(
                    .invalidCursor,
                    "The cursor names partition \(entry.partition); this reads partition "
                        + "\(partition)."
                        + " Read all partitions at /v1/topics/{topic}/records.")
            }
            if entry.partition >= topic.partitionCount {
                throw Problem(
                    .invalidCursor,
                    "The cursor names partition \(entry.partition), but the topic has "
                        + "\(topic.partitionCount): 0 to \(topic.partitionCount - 1).")
            }
        }
    }
}

extension Topic {
    /// What marks this topic's cursors, see `Cursor`.
    var cursorTag: String { String(topicID.prefix(8)) }

    /// Refuses the cursor of another topic that once had this name.
    func check(tag: String) throws(Problem) {
        guard tag != cursorTag else { return }
        throw Problem(
            .topicRecreated,
            "The cursor belongs to a topic `\(name)` that was deleted; another of that name "
                + "was created "
                + "since. Begin anew with `from=earliest` or `from=latest`.")
    }
}
