import Backends
import Platform
import TestSupport
import Testing

struct EmbeddedConformanceTests {
    @Test(arguments: BackendConformance.rules.indices)
    func `conforms to the seam's rules of appends`(index: Int) async throws {
        let (name, check) = BackendConformance.rules[index]
        try await EmbeddedHarness.withDirectory { harness in
            try await harness.run { backend in
                do { try await check(backend) } catch { Issue.record("\(name): \(error)") }
            }
        }
    }

    @Test(arguments: BackendConformance.all.indices)
    func `the embedded backend keeps every promise of the seam`(index: Int) async throws {
        let (name, check) = BackendConformance.all[index]
        try await EmbeddedHarness.withDirectory { harness in
            try await harness.run { backend in
                do { try await check(backend) } catch { Issue.record("\(name): \(error)") }
            }
        }
    }
}

struct EmbeddedBackendTests {
    private typealias Seam = BackendConformance

    @Test
    func `topics, their configuration and their records are there after a restart`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            var before: TopicDescription?
            try await harness.run { backend in
                let topic = try await Seam.create(backend, "orders", partitions: 3) {
                    $0.retentionMs = nil
                    $0.retentionBytes = 1 << 30
                    $0.cleanupPolicy = .compact
                    $0.segmentBytes = 1 << 20
                    $0.maxRecordBytes = 5000
                }
                try await Seam.append(["a", "b"], to: topic, 1, key: "k")
                before = try await topic.describe()
            }
            try await harness.run { backend in
                let topic = try backend.topic("orders")
                let after = try await topic.describe()
                #expect(after.topicID == before?.topicID)
                #expect(after.configuration == before?.configuration)
                #expect(after.partitions == before?.partitions)
                #expect(try await Seam.values(of: topic, 1) == ["a", "b"])
            }
        }
    }

    @Test
    func `before start and after close every call says that it is not ready`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            let backend = harness.backend()
            #expect(!backend.isReady)
            #expect(throws: BackendError.notReady("recovering")) { try backend.topic("a") }
            #expect(throws: BackendError.notReady("recovering")) {
                try backend.stateLog.append([StateRecord(key: [], value: [])], to: 0)
            }
            try await backend.start()
            #expect(backend.isReady)
            let topic = try await Seam.create(backend, "a")
            try await backend.close()
            #expect(!backend.isReady)
            #expect(throws: BackendError.notReady("closing")) { try backend.topic("a") }
            await #expect(throws: BackendError.notReady("closing")) {
                try await Seam.create(backend, "b")
            }
            await #expect(throws: BackendError.notReady("closing")) {
                try await Seam.append(["a"], to: topic)
            }
            try await backend.close()
        }
    }

    /// Pitfall 29.
    @Test
    func `a second process on the directory fails at once, and not after the first ends`()
        async throws
    {
        try await EmbeddedHarness.withDirectory { harness in
            let first = try await harness.started()
            await #expect(throws: StartError.locked(harness.path + "/LOCK")) {
                _ = try await harness.started()
            }
            try await Seam.append(["a"], to: try await Seam.create(first, "still-serving"))
            try await first.close()
            try await harness.run { _ in }
        }
    }

    @Test
    func `a directory of a later format is not touched`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            try await harness.run { _ = try await Seam.create($0, "a") }
            let node = Array(#"{"formatVersion":2,"nodeId":"x","more":{}}"#.utf8)
            try harness.write(harness.path + "/node.json", node)
            let before = try harness.snapshot(harness.path)
            await #expect(throws: StartError.formatTooNew(found: 2, known: 1)) {
                _ = try await harness.started()
            }
            #expect(try harness.snapshot(harness.path) == before)
        }
    }

    @Test
    func `a lost node.json is not made anew over topics`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            try await harness.run { _ = try await Seam.create($0, "a") }
            try SystemDisk().remove(harness.path + "/node.json")
            let before = try harness.snapshot(harness.path)
            do {
                _ = try await harness.started()
                Issue.record("started")
            } catch StartError.damaged(let reason) {
                #expect(reason.contains("node.json"))
            }
            #expect(try harness.snapshot(harness.path) == before)
            let node = Array(#"{"formatVersion":1,"nodeId":0}"#.utf8)
            try harness.write(harness.path + "/node.json", node)
            try await harness.run { _ = try $0.topic("a") }
        }
    }

    @Test
    func `a flipped bit in node.json stops the start, or changes nothing`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            try await harness.run { try await Seam.append(["a"], to: Seam.create($0, "t")) }
            let node = harness.path + "/node.json"
            let bytes = try harness.read(node)
            for index in bytes.indices {
                for bit in 0..<8 {
                    var flipped = bytes
                    flipped[index] ^= 1 << UInt8(bit)
                    try harness.write(node, flipped)
                    do {
                        try await harness.run { backend in
                            let values = try await Seam.values(of: backend.topic("t"))
                            #expect(values == ["a"])
                        }
                    } catch is StartError {}
                }
            }
            try harness.write(node, bytes)
            try await harness.run { _ = try $0.topic("t") }
        }
    }

    /// Pitfall 22: unknown to the metadata is no reason to delete.
    @Test(arguments: ["missing", "empty", "damaged", "of another topic", "a flipped limit"])
    func `a topic whose metadata is damaged is left untouched, and the rest serves`(
        damage: String
    ) async throws {
        try await EmbeddedHarness.withDirectory { harness in
            var directory = ""
            var other = ""
            try await harness.run { backend in
                let topic = try await Seam.create(backend, "precious")
                try await Seam.append(["a"], to: topic)
                directory = harness.topicPath(topic)
                other = harness.topicPath(try await Seam.create(backend, "other"))
            }
            let file = directory + "/topic.json"
            var text = String(decoding: try harness.read(file), as: UTF8.self)
            switch damage {
            case "missing": try SystemDisk().remove(file)
            case "empty": try harness.write(file, [])
            case "of another topic": try harness.write(file, harness.read(other + "/topic.json"))
            case "a flipped limit":
                text.replace("\"retentionMs\":604800000", with: "\"retentionMs\":104800000")
                try harness.write(file, Array(text.utf8))
            default: try harness.write(file, Array(text.utf8.dropLast(20)))
            }
            let before = try harness.snapshot(directory)
            try await harness.run { backend in
                #expect(
                    backend.quarantined.map { harness.path + "/topics/" + $0.directory } == [
                        directory
                    ])
                #expect(throws: BackendError.unknownTopic("precious")) {
                    try backend.topic("precious")
                }
                try await Seam.append(["b"], to: try backend.topic("other"))
                await backend.maintain()
            }
            #expect(try harness.snapshot(directory) == before)
        }
    }

    /// Groups' state would seem empty (pitfall 36), and offsets begin again.
    @Test
    func `a damaged state log is not replaced by an empty one`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            try await harness.run { _ in }
            let directory = try #require(SystemDisk().list(harness.path + "/topics").first)
            try SystemDisk().remove(harness.path + "/topics/" + directory + "/topic.json")
            try await harness.run { backend in
                #expect(throws: (any Error).self) {
                    try backend.stateLog.append([StateRecord(key: [], value: [])], to: 0)
                }
                await #expect(throws: (any Error).self) {
                    try await backend.stateLog.replay(0) { _ in }
                }
                _ = try await Seam.create(backend, "a")
            }
            #expect(try SystemDisk().list(harness.path + "/topics").count == 2)
        }
    }

    /// Fault 17: an empty log in its place would give its offsets out again.
    @Test
    func `a partition whose directory is gone fails alone`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            var directory = ""
            try await harness.run { backend in
                let topic = try await Seam.create(backend, "t", partitions: 3)
                directory = harness.topicPath(topic)
            }
            removeTree(directory + "/1")
            try await harness.run { backend in
                let topic = try backend.topic("t")
                try await Seam.append(["a"], to: topic, 0)
                try await Seam.append(["a"], to: topic, 2)
                do {
                    try await Seam.append(["a"], to: topic, 1)
                    Issue.record("appended")
                } catch BackendError.partitionFailed(let reason) {
                    #expect(reason.contains("missing"))
                }
                let partitions = try await topic.describe().partitions
                #expect(partitions.map { $0.failure == nil } == [true, false, true])
                #expect(backend.statistics().failedPartitionCount == 1)
            }
            #expect(!SystemDisk().exists(directory + "/1"))
        }
    }

    @Test
    func `remains of a create or a delete are removed at start`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            var deleted = ""
            var created = ""
            try await harness.run { backend in
                let topic = try await Seam.create(backend, "deleted")
                try await Seam.append(["a"], to: topic)
                deleted = harness.topicPath(topic)
                created = harness.topicPath(try await Seam.create(backend, "created"))
            }
            let disk = SystemDisk()
            try disk.rename(deleted + "/topic.json", to: deleted + "/topic.json.deleted")
            try disk.rename(created + "/topic.json", to: created + "/topic.json.new")
            try disk.createDirectory(
                harness.path + "/topics/01234567-89ab-4def-bedc-ba9876543210")
            try await harness.run { backend in
                #expect(backend.quarantined.isEmpty)
                let topics = try await backend.topics()
                #expect(topics.isEmpty)
            }
            #expect(try disk.list(harness.path + "/topics").count == 1)
        }
    }

    /// It cannot happen, so when it does, something else is wrong: better keep it.
    @Test
    func `an unfinished topic that holds records is not removed`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            var directory = ""
            try await harness.run { backend in
                let topic = try await Seam.create(backend, "t")
                try await Seam.append(["a"], to: topic)
                directory = harness.topicPath(topic)
            }
            try SystemDisk().rename(directory + "/topic.json", to: directory + "/topic.json.new")
            let before = try harness.snapshot(directory)
            try await harness.run { #expect($0.quarantined.count == 1) }
            #expect(try harness.snapshot(directory) == before)
        }
    }

    @Test
    func `counters do not go down when a topic is deleted`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            try await harness.run { backend in
                let before = backend.statistics()
                try await Seam.append(["a", "b"], to: try await Seam.create(backend, "t"))
                let during = backend.statistics()
                #expect(during.appendedRecords == before.appendedRecords + 2)
                #expect(during.topicCount == 1 && during.partitionCount == 1)
                try await backend.deleteTopic("t")
                let after = backend.statistics()
                #expect(after.appendedRecords == during.appendedRecords)
                #expect(after.appendedBytes == during.appendedBytes)
                #expect(after.topicCount == 0 && after.partitionCount == 0)
            }
        }
    }

    @Test
    func `retention deletes by age, and of compacted topics only what is overruled`() async throws {
        let time = ManualTime()
        try await EmbeddedHarness.withDirectory(time: time) { harness in
            try await harness.run { backend in
                for policy in [CleanupPolicy.delete, .compact] {
                    let topic = try await Seam.create(backend, policy.rawValue) {
                        $0.cleanupPolicy = policy
                        $0.segmentBytes = 64 << 10
                        $0.retentionMs = 1000
                    }
                    for key in ["a", "b", "a", "c", "d"] {
                        try await Seam.append(
                            [String(repeating: "x", count: 40_000)], to: topic, key: key)
                    }
                }
                time.advance(by: .seconds(3600))
                await backend.maintain()
                await backend.compact()
                #expect(try backend.topic("delete").bounds(0).logStart > Offset(0))
                let compacted = try backend.topic("compact")
                #expect(try compacted.bounds(0).logStart == Offset(0))
                let fetched = try await compacted.read(0, from: Offset(0), maxBytes: 1 << 20)
                var reader = RecordBatchReader(fetched.batches)
                var offsets: [Int64] = []
                while let record = try reader.next() { offsets.append(record.offset.value) }
                #expect(offsets == [1, 2, 3, 4])
                #expect(backend.statistics().compactionPassCount == 1)
            }
        }
    }

    /// Kafka's INVALID_RECORD, also where the API's own check was passed.
    @Test
    func `a compacted topic takes records with a key only`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            try await harness.run { backend in
                let topic = try await Seam.create(backend, "t") { $0.cleanupPolicy = .compact }
                await #expect(throws: BackendError.recordWithoutKey) {
                    try await Seam.append(["no key"], to: topic)
                }
                #expect(try topic.bounds(0).logEnd == Offset(0))
                try await Seam.append(["key"], to: topic, key: "k")
                var change = TopicChange()
                change.cleanupPolicy = .delete
                _ = try await backend.alterTopic("t", change)
                try await Seam.append(["no key"], to: topic)
            }
        }
    }

    /// Pitfall 17, through the backend.
    @Test
    func `offsets go on after retention emptied a topic and the program restarted`() async throws {
        let time = ManualTime()
        try await EmbeddedHarness.withDirectory(time: time) { harness in
            try await harness.run { backend in
                let topic = try await Seam.create(backend, "t") { $0.retentionMs = 1000 }
                try await Seam.append(["a", "b"], to: topic)
                time.advance(by: .seconds(3600))
                await backend.maintain()
                await backend.maintain()
            }
            try await harness.run { backend in
                let offset = try await Seam.append(["c"], to: backend.topic("t"))
                #expect(offset == Offset(2))
            }
        }
    }

    @Test
    func `recovery tells how far it is`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            try await harness.run { _ = try await Seam.create($0, "t", partitions: 5) }
            let backend = harness.backend()
            let last = Latest<EmbeddedBackend.Progress>()
            try await backend.start { last.value = $0 }
            #expect(last.value?.partitionCount == 21)
            #expect(last.value?.partitionsOpened == 21)
            try await backend.close()
        }
    }

    /// Fault 25: SIGTERM during recovery.
    @Test
    func `a close during start leaves the directory to the next program only when start is done`()
        async throws
    {
        try await EmbeddedHarness.withDirectory { harness in
            try await harness.run { backend in
                try await Seam.append(["a"], to: try await Seam.create(backend, "t", partitions: 9))
            }
            let backend = harness.backend()
            async let closing: Void = {
                while backend.statistics().topicCount == 0, !backend.isReady { await Task.yield() }
                try await backend.close()
            }()
            try await backend.start()
            try await closing
            #expect(!backend.isReady)
            try await harness.run { backend in
                let values = try await Seam.values(of: backend.topic("t"))
                #expect(values == ["a"])
            }
        }
    }

    @Test
    func `maintenance ends when the backend closes`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            let backend = try await harness.started()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await backend.runMaintenance() }
                group.addTask { try await backend.close() }
                try await group.waitForAll()
            }
        }
    }
}
