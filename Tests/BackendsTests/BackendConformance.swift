import Backends
import LogEngine
import Platform
import Testing

/// What every backend must do, whatever keeps the records: the embedded log, and later Kafka. Each
/// function makes topics under names of its own and leaves others alone.
enum BackendConformance {
    static let all: [(name: String, check: @Sendable (any Backend) async throws -> Void)] = [
        ("an unknown topic is told by its name", unknownTopic),
        ("offsets follow each other, and what was acknowledged is read", appendAndRead),
        ("each partition has offsets of its own", partitionsAreApart),
        ("acks none and leader give the offset too", weakerAcks),
        ("a partition that is not there is told with the count", unknownPartition),
        ("reads past the end are out of range, at the end empty", readPastTheEnd),
        ("one batch is read however little is asked for", atLeastOneBatch),
        ("a read may stop at its limit and go on behind it", readInPages),
        ("creating the same topic twice is no error", createTwice),
        ("creating another topic of the name is", createDifferent),
        ("many create one topic, and one of them makes it", createAtOnce),
        ("what cannot be configured is told by its field", badConfiguration),
        ("a change names what it changes, all else stays", alterOne),
        ("partitions grow and never shrink", growPartitions),
        ("a deleted topic is gone for those who hold it too", deleteTopic),
        ("a topic created again has another ID and its offsets begin at 0", recreate),
        ("deleted records are gone and offsets go on", deleteRecords),
        ("an offset is found by its timestamp", offsetByTimestamp),
        ("a watch is woken by the record it waits for", watchWakes),
        ("a watch on what is there already is woken at once", watchOfThePast),
        ("a watch is woken when its topic is altered or deleted", watchOfChange),
        ("a record over the limit is refused and nothing appended", recordTooLarge),
        ("a name that can be taken for another's is refused", similarNames),
        ("a name that Unicode calls equal is no topic's", equalNames),
        ("internal topics are hidden", internalTopics),
        ("the state log gives back what was durable", stateLog),
    ]

    // MARK: - Records

    static func batch(
        _ values: [String], timestamp: Int64 = 1_700_000_000_000, key: String? = nil
    ) -> RecordBatchBuilder {
        var batch = RecordBatchBuilder()
        for (index, value) in values.enumerated() {
            let (timestamp, value) = (timestamp + Int64(index), Array(value.utf8))
            if let key {
                batch.append(timestamp: timestamp, key: Array(key.utf8).span, value: value.span)
            } else {
                batch.append(timestamp: timestamp, key: nil, value: value.span)
            }
        }
        return batch
    }

    @discardableResult
    static func append(
        _ values: [String], to topic: any Topic, _ partition: Int = 0, acks: Acks = .all,
        timestamp: Int64 = 1_700_000_000_000, key: String? = nil
    ) async throws -> Offset {
        let batch = batch(values, timestamp: timestamp, key: key)
        let ticket = try topic.append(batch, to: partition, acks: acks)
        return try await topic.acknowledge(ticket)
    }

    /// Everything from `offset` to the high watermark.
    static func values(
        of topic: any Topic, _ partition: Int = 0, from offset: Int64 = 0, maxBytes: Int = 1 << 20
    ) async throws -> [String] {
        var values: [String] = []
        var next = Offset(offset)
        while true {
            let fetched = try await topic.read(partition, from: next, maxBytes: maxBytes)
            guard !fetched.batches.isEmpty else { return values }
            var reader = RecordBatchReader(fetched.batches)
            while let record = try reader.next() {
                guard record.offset >= next else { continue }
                #expect(record.offset == next, "offsets have no gaps")
                next = record.offset + 1
                values.append(
                    record.value.map { String(decoding: reader.bytes[$0], as: UTF8.self) } ?? "")
            }
        }
    }

    static func create(
        _ backend: any Backend, _ name: String, partitions: Int = 1,
        _ change: (inout TopicConfiguration) -> Void = { _ in }
    ) async throws -> any Topic {
        var configuration = TopicConfiguration()
        change(&configuration)
        return try await backend.createTopic(
            name, partitionCount: partitions, configuration: configuration
        ).topic
    }

    // MARK: - Append and read

    static func unknownTopic(_ backend: any Backend) async throws {
        #expect(throws: BackendError.unknownTopic("nobody")) { try backend.topic("nobody") }
        await #expect(throws: BackendError.unknownTopic("nobody")) {
            try await backend.deleteTopic("nobody")
        }
        await #expect(throws: BackendError.unknownTopic("nobody")) {
            _ = try await backend.alterTopic("nobody", TopicChange())
        }
    }

    static func appendAndRead(_ backend: any Backend) async throws {
        let topic = try await create(backend, "append")
        #expect(try await append(["a", "b"], to: topic) == Offset(0))
        #expect(try await append(["c"], to: topic) == Offset(2))
        #expect(try await values(of: topic) == ["a", "b", "c"])
        #expect(try await values(of: topic, from: 1) == ["b", "c"])
        let bounds = try topic.bounds(0)
        #expect(
            bounds
                == PartitionBounds(
                    logStart: Offset(0), highWatermark: Offset(3), logEnd: Offset(3)))
    }

    static func partitionsAreApart(_ backend: any Backend) async throws {
        let topic = try await create(backend, "apart", partitions: 3)
        try await append(["a"], to: topic, 0)
        #expect(try await append(["b"], to: topic, 2) == Offset(0))
        #expect(try await values(of: topic, 1) == [])
        #expect(try await values(of: topic, 2) == ["b"])
    }

    static func weakerAcks(_ backend: any Backend) async throws {
        let topic = try await create(backend, "acks")
        #expect(try await append(["a"], to: topic, acks: .leader) == Offset(0))
        #expect(try await append(["b"], to: topic, acks: .none) == Offset(1))
        #expect(try await append(["c"], to: topic, acks: .all) == Offset(2))
        #expect(try await values(of: topic) == ["a", "b", "c"])
    }

    static func unknownPartition(_ backend: any Backend) async throws {
        let topic = try await create(backend, "few", partitions: 2)
        for partition in [-1, 2, Int.max] {
            #expect(throws: BackendError.unknownPartition(partition, partitionCount: 2)) {
                try topic.bounds(partition)
            }
            await #expect(throws: BackendError.unknownPartition(partition, partitionCount: 2)) {
                try await append(["a"], to: topic, partition)
            }
        }
    }

    static func readPastTheEnd(_ backend: any Backend) async throws {
        let topic = try await create(backend, "end")
        try await append(["a"], to: topic)
        #expect(try await topic.read(0, from: Offset(1), maxBytes: 100).batches.isEmpty)
        // At once: the end is known without the disk, and there may be no need for it elsewhere.
        #expect(try topic.readNow(0, from: Offset(1), maxBytes: 100)?.batches == [])
        #expect(try topic.readNow(0, from: Offset(0), maxBytes: 100)?.batches != [])
        #expect(throws: BackendError.offsetOutOfRange(latest: Offset(1))) {
            _ = try topic.readNow(0, from: Offset(2), maxBytes: 100)
        }
        await #expect(throws: BackendError.offsetOutOfRange(latest: Offset(1))) {
            _ = try await topic.read(0, from: Offset(2), maxBytes: 100)
        }
        await #expect(throws: BackendError.offsetTrimmed(earliest: Offset(0))) {
            _ = try await topic.read(0, from: Offset(-1), maxBytes: 100)
        }
    }

    static func atLeastOneBatch(_ backend: any Backend) async throws {
        let topic = try await create(backend, "one")
        try await append([String(repeating: "x", count: 5000)], to: topic)
        try await append(["y"], to: topic)
        #expect(try await values(of: topic, maxBytes: 1).count == 2)
    }

    static func readInPages(_ backend: any Backend) async throws {
        let topic = try await create(backend, "pages")
        let expected = (0..<100).map { "value \($0)" }
        for start in stride(from: 0, to: 100, by: 5) {
            try await append(Array(expected[start..<start + 5]), to: topic)
        }
        #expect(try await values(of: topic, maxBytes: 300) == expected)
        #expect(try await values(of: topic, from: 42, maxBytes: 300) == Array(expected[42...]))
    }

    static func recordTooLarge(_ backend: any Backend) async throws {
        let topic = try await create(backend, "small") { $0.maxRecordBytes = 100 }
        await #expect(throws: BackendError.recordTooLarge(limit: 100)) {
            try await append(["a", String(repeating: "x", count: 200)], to: topic)
        }
        #expect(try topic.bounds(0).logEnd == Offset(0))
        #expect(try await append(["a"], to: topic) == Offset(0))
    }

    // MARK: - Metadata

    static func createTwice(_ backend: any Backend) async throws {
        let configuration = TopicConfiguration()
        let first = try await backend.createTopic(
            "twice", partitionCount: 2, configuration: configuration)
        let second = try await backend.createTopic(
            "twice", partitionCount: 2, configuration: configuration)
        #expect(first.created && !second.created)
        #expect(first.topic.topicID == second.topic.topicID)
        #expect(try backend.topic("twice").topicID == first.topic.topicID)
    }

    static func createDifferent(_ backend: any Backend) async throws {
        _ = try await create(backend, "taken", partitions: 2)
        await #expect(throws: BackendError.topicExists("taken")) {
            _ = try await create(backend, "taken", partitions: 3)
        }
        await #expect(throws: BackendError.topicExists("taken")) {
            _ = try await create(backend, "taken", partitions: 2) { $0.retentionMs = 5 }
        }
    }

    static func createAtOnce(_ backend: any Backend) async throws {
        let created = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    try await backend.createTopic(
                        "race", partitionCount: 1, configuration: TopicConfiguration()
                    ).created
                }
            }
            return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(created == 1)
    }

    static func badConfiguration(_ backend: any Backend) async throws {
        let bad: [(String, (inout TopicConfiguration) -> Void)] = [
            ("replicationFactor", { $0.replicationFactor = 30_000 }),
            ("minInsyncReplicas", { $0.minInsyncReplicas = 0 }),
            ("retentionMs", { $0.retentionMs = -1 }),
            ("retentionBytes", { $0.retentionBytes = -5 }),
            ("deleteRetentionMs", { $0.deleteRetentionMs = -1 }),
            ("segmentBytes", { $0.segmentBytes = 0 }),
            ("segmentBytes", { $0.segmentBytes = .max }),
            ("maxRecordBytes", { $0.maxRecordBytes = 0 }),
        ]
        for (field, change) in bad { await expectRefusal(of: field, backend, change: change) }
        for count in [0, -1, .max] { await expectRefusal(of: "partitions", backend, count) }
        for name in ["", ".", "..", "a/b", "a b", "ä", "__x", String(repeating: "x", count: 250)] {
            await expectRefusal(of: "topic", backend, name: name)
        }
    }

    private static func expectRefusal(
        of field: String, _ backend: any Backend, name: String = "bad", _ partitions: Int = 1,
        change: (inout TopicConfiguration) -> Void = { _ in }
    ) async {
        do {
            _ = try await create(backend, name, partitions: partitions, change)
            Issue.record("\(field) was taken")
        } catch BackendError.invalidConfiguration(let told, let reason) {
            #expect(told == field)
            #expect(!reason.isEmpty)
        } catch {
            Issue.record("\(field): \(error)")
        }
    }

    /// Pitfall 21.
    static func alterOne(_ backend: any Backend) async throws {
        let topic = try await create(backend, "alter", partitions: 2) {
            $0.retentionBytes = 1 << 20
        }
        var expected = topic.configuration
        var change = TopicChange()
        change.retentionMs = .some(nil)
        expected.retentionMs = nil
        let altered = try await backend.alterTopic("alter", change)
        #expect(altered.configuration == expected)
        #expect(altered.topicID == topic.topicID)
        #expect(altered.partitionCount == 2)
        let found = try backend.topic("alter")
        #expect(found.configuration == expected)
        let described = try await found.describe()
        #expect(described.configuration == expected)
    }

    static func growPartitions(_ backend: any Backend) async throws {
        let topic = try await create(backend, "grow")
        try await append(["a"], to: topic)
        var change = TopicChange()
        change.partitionCount = 3
        let grown = try await backend.alterTopic("grow", change)
        #expect(grown.partitionCount == 3)
        #expect(try await append(["b"], to: grown, 2) == Offset(0))
        #expect(try await values(of: grown) == ["a"])
        change.partitionCount = 2
        do {
            _ = try await backend.alterTopic("grow", change)
            Issue.record("partitions shrank")
        } catch BackendError.invalidConfiguration(let field, _) {
            #expect(field == "partitions")
        }
        #expect(try backend.topic("grow").partitionCount == 3)
    }

    static func deleteTopic(_ backend: any Backend) async throws {
        let topic = try await create(backend, "gone")
        try await append(["a"], to: topic)
        try await backend.deleteTopic("gone")
        let gone = BackendError.unknownTopic("gone")
        #expect(throws: gone) { try backend.topic("gone") }
        #expect(throws: gone) { try topic.bounds(0) }
        await #expect(throws: gone) { try await append(["a"], to: topic) }
        await #expect(throws: gone) { _ = try await topic.read(0, from: Offset(0), maxBytes: 1) }
        await #expect(throws: gone) { _ = try await topic.describe() }
        #expect(try await backend.topics().allSatisfy { $0.name != "gone" })
    }

    /// Pitfall 27.
    static func recreate(_ backend: any Backend) async throws {
        let old = try await create(backend, "again")
        try await append(["a", "b"], to: old)
        try await backend.deleteTopic("again")
        let new = try await create(backend, "again")
        #expect(new.topicID != old.topicID)
        #expect(try await append(["c"], to: new) == Offset(0))
        #expect(throws: BackendError.unknownTopic("again")) { try old.bounds(0) }
    }

    static func similarNames(_ backend: any Backend) async throws {
        let names = ["x.y", "x-y", "..x", "CON", "x."]
        for name in names { try await append([name], to: create(backend, name)) }
        for name in names {
            #expect(try await values(of: backend.topic(name)) == [name])
        }
        for name in ["x_y", "X.Y", "con", "x_"] {
            await #expect(throws: BackendError.topicNameCollides(name)) {
                try await create(backend, name)
            }
        }
        try await backend.deleteTopic("x.y")
        try await append(["x_y"], to: create(backend, "x_y"))
    }

    /// U+212A is the letter K to Swift's `==`; to rules that deny a topic it is another name.
    static func equalNames(_ backend: any Backend) async throws {
        try await append(["secret"], to: create(backend, "K-secret"))
        let other = "\u{212A}-secret"
        #expect(throws: BackendError.unknownTopic(other)) { try backend.topic(other) }
        await #expect(throws: BackendError.unknownTopic(other)) {
            try await backend.deleteTopic(other)
        }
        #expect(try await values(of: backend.topic("K-secret")) == ["secret"])
    }

    static func internalTopics(_ backend: any Backend) async throws {
        #expect(throws: BackendError.unknownTopic("__millrace_groups")) {
            try backend.topic("__millrace_groups")
        }
        await #expect(throws: BackendError.unknownTopic("__millrace_groups")) {
            try await backend.deleteTopic("__millrace_groups")
        }
        #expect(try await backend.topics().allSatisfy { !$0.name.hasPrefix("__") })
    }

    // MARK: - Offsets

    static func deleteRecords(_ backend: any Backend) async throws {
        let topic = try await create(backend, "trim")
        try await append(["a", "b", "c"], to: topic)
        #expect(try await topic.deleteRecords(0, before: Offset(2)) == Offset(2))
        #expect(try await topic.deleteRecords(0, before: Offset(1)) == Offset(2))
        #expect(try await values(of: topic, from: 2) == ["c"])
        await #expect(throws: BackendError.offsetTrimmed(earliest: Offset(2))) {
            _ = try await topic.read(0, from: Offset(1), maxBytes: 100)
        }
        await #expect(throws: BackendError.offsetOutOfRange(latest: Offset(3))) {
            _ = try await topic.deleteRecords(0, before: Offset(4))
        }
        #expect(try await topic.deleteRecords(0, before: Offset(3)) == Offset(3))
        #expect(try await append(["d"], to: topic) == Offset(3))
    }

    static func offsetByTimestamp(_ backend: any Backend) async throws {
        let topic = try await create(backend, "times")
        try await append(["a", "b"], to: topic, timestamp: 1000)
        try await append(["c", "d"], to: topic, timestamp: 2000)
        #expect(try await topic.offset(0, atOrAfter: 0) == Offset(0))
        #expect(try await topic.offset(0, atOrAfter: 1001) == Offset(1))
        #expect(try await topic.offset(0, atOrAfter: 1500) == Offset(2))
        #expect(try await topic.offset(0, atOrAfter: 9000) == Offset(4))
        #expect(try await topic.offset(0, atOrAfter: .min) == Offset(0))
    }

    // MARK: - Waiting

    /// Pitfall 47.
    static func watchWakes(_ backend: any Backend) async throws {
        let topic = try await create(backend, "watch")
        let wakeup = Wakeup()
        let id = try topic.watch(0, past: Offset(0), wakeup)
        try await append(["a"], to: topic)
        await wakeup.wait()
        #expect(try topic.bounds(0).highWatermark == Offset(1))
        topic.unwatch(0, id)
    }

    static func watchOfThePast(_ backend: any Backend) async throws {
        let topic = try await create(backend, "past")
        try await append(["a"], to: topic)
        let wakeup = Wakeup()
        let id = try topic.watch(0, past: Offset(0), wakeup)
        await wakeup.wait()
        topic.unwatch(0, id)
    }

    static func watchOfChange(_ backend: any Backend) async throws {
        let topic = try await create(backend, "change")
        let wakeup = Wakeup()
        let id = try topic.watch(0, past: Offset(0), wakeup)
        var change = TopicChange()
        change.partitionCount = 2
        _ = try await backend.alterTopic("change", change)
        await wakeup.wait()
        try await backend.deleteTopic("change")
        await wakeup.wait()
        topic.unwatch(0, id)
    }

    // MARK: - State log

    static func stateLog(_ backend: any Backend) async throws {
        let log = backend.stateLog
        let shard = log.shardCount - 1
        let records = [
            StateRecord(key: [1], value: [2]), StateRecord(key: [3], value: []),
            StateRecord(key: [1], value: nil),
        ]
        let first = try log.append([records[0]], to: shard)
        let second = try log.append(Array(records[1...]), to: shard)
        #expect(first < second)
        try await log.durable(second)
        try await log.durable(first)
        var replayed: [StateRecord] = []
        try await log.replay(shard) { replayed += $0 }
        #expect(replayed == records)
    }
}
