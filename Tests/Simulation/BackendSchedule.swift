import Backends
import LogEngine
import Logging
import Platform
import Synchronization
import TestSupport

/// One random history of a whole embedded backend: topics come, change and go, records and group
/// state are stored, and the power goes at any operation on the disk, also in the middle of a
/// start. What was acknowledged holds; what was not may be there or not, and nothing in between.
package struct BackendSchedule {
    /// What a program was told, or was told nothing about.
    private struct Expected {
        /// Acknowledged values of a topic's log, and those on their way when the power went.
        var values: [Int64] = []
        var pending: Set<Int64> = []
        /// nil: whether the topic is there is not known.
        var isThere: Bool?
        var retentionMs: Set<Int64> = []
        var partitionCount = 1...1
    }

    private let disk = SimulatedDisk(losesDirectories: true)
    private let planted: any Disk
    private let time = ManualTime()
    private let workers: WorkerPool
    private let ids: RandomIDs
    private var random: SeededRandom
    private var expected: [String: Expected] = [:]
    /// The state log's possible values of a key.
    private var states: [Int: Set<Int64>] = [:]
    private var nextValue: Int64 = 0
    private var trace = Trace()

    package static func run(
        seed: UInt64, plant: @escaping LogSchedule.Plant = { $0 }
    ) async -> ScheduleOutcome {
        let workers = WorkerPool(name: "simulated", limit: 0)
        let outcome = SimulatedExecutor().run(workers) {
            var schedule = BackendSchedule(seed: seed, workers, plant)
            do {
                try await schedule.run()
                return ScheduleOutcome(trace: schedule.trace.hash, failure: nil)
            } catch let error as Broken {
                return ScheduleOutcome(trace: schedule.trace.hash, failure: error.reason)
            } catch {
                return ScheduleOutcome(trace: schedule.trace.hash, failure: "\(error)")
            }
        }
        return outcome ?? ScheduleOutcome(trace: 0, failure: "a call never returned")
    }

    private init(seed: UInt64, _ workers: WorkerPool, _ plant: LogSchedule.Plant) {
        random = SeededRandom(seed: seed)
        planted = plant(disk)
        ids = RandomIDs(seed)
        self.workers = workers
    }

    private mutating func run() async throws {
        for _ in 0..<4 {
            while random.below(3) == 0 {
                failFrom(disk.operationCount + random.below(60))
                do { try await backend().start() } catch { trace.add(1) }
                disk.crash(seed: random.next())
            }
            let backend = backend()
            try await backend.start()
            try await check(backend)
            let last = disk.operationCount + random.below(120)
            failFrom(last)
            while disk.operationCount < last { try await act(backend) }
            trace.add(2, Int64(disk.operationCount))
            disk.crash(seed: random.next())
        }
    }

    /// Everything fails from one operation on, and now and then one before it once.
    private mutating func failFrom(_ last: Int) {
        let once = random.below(4) == 0 ? last - 1 - random.below(60) : -1
        let fault: SimulatedDisk.Fault = random.below(2) == 0 ? .noSpace : .inputOutput
        disk.inject { _, _, number in
            number >= last ? .inputOutput : number == once ? fault : nil
        }
    }

    private func backend() -> EmbeddedBackend {
        var options = EmbeddedBackend.Options()
        options.locksDirectory = false
        return EmbeddedBackend(
            "/data", disk: planted, time: time, workers: workers,
            log: Logger(label: "simulated") { _ in SwiftLogNoOpLogHandler() },
            random: { [ids] in ids.next() }, options: options)
    }

    // MARK: - One request, and what is known after its answer

    private mutating func act(_ backend: EmbeddedBackend) async throws(Broken) {
        let name = "t\(random.below(4))"
        switch random.below(12) {
        case 0, 1: await create(name, backend)
        case 2: await delete(name, backend)
        case 3: await alter(name, backend)
        case 4, 5: await store(random.below(4), backend)
        case 6: await backend.maintain()
        default: try await append(name, backend)
        }
        // So that a backend which refuses everything comes to an end too.
        do throws(DiskError) { _ = try disk.list("/data") } catch { trace.add(7) }
    }

    private mutating func create(_ name: String, _ backend: EmbeddedBackend) async {
        let known = expected[name]
        guard known?.isThere != true else { return }
        let isUnknown = known != nil && known?.isThere == nil
        var fresh = known ?? Expected()
        if !isUnknown {
            fresh = Expected()
            fresh.retentionMs = [TopicConfiguration().retentionMs ?? 0]
        }
        do {
            _ = try await backend.createTopic(
                name, partitionCount: 1, configuration: TopicConfiguration())
            fresh.isThere = isUnknown ? nil : true
        } catch { fresh.isThere = nil }
        expected[name] = fresh
    }

    private mutating func delete(_ name: String, _ backend: EmbeddedBackend) async {
        guard expected[name]?.isThere == true else { return }
        do {
            try await backend.deleteTopic(name)
            expected[name]?.isThere = false
        } catch { expected[name]?.isThere = nil }
    }

    private mutating func alter(_ name: String, _ backend: EmbeddedBackend) async {
        guard let known = expected[name], known.isThere == true else { return }
        var change = TopicChange()
        let retentionMs = Int64(random.below(1000)) + 1_000_000
        let count = known.partitionCount.upperBound + 1
        change.retentionMs = retentionMs
        change.partitionCount = count
        do {
            _ = try await backend.alterTopic(name, change)
            expected[name]?.retentionMs = [retentionMs]
            expected[name]?.partitionCount = count...count
        } catch {
            expected[name]?.retentionMs.insert(retentionMs)
            expected[name]?.partitionCount = known.partitionCount.lowerBound...count
        }
    }

    private mutating func append(_ name: String, _ backend: EmbeddedBackend) async throws(Broken) {
        guard expected[name]?.isThere == true else { return }
        let value = nextValue
        nextValue += 1
        do {
            let topic = try backend.topic(name)
            var batch = RecordBatchBuilder()
            batch.append(timestamp: 0, key: nil, value: Self.bytes(value).span)
            let isAwaited = random.below(3) > 0
            let ticket = try topic.append(batch, to: 0, acks: isAwaited ? .all : .leader)
            _ = try await topic.acknowledge(ticket)
            expected[name]?.pending.insert(value)
            if isAwaited {
                // What was sent before without waiting is in front of it.
                let found = try await values(of: topic)
                try compare(found, name)
                try promise(found.last == value, "\(name): \(value) was acknowledged")
                expected[name]?.values = found
                expected[name]?.pending.subtract(found)
            }
        } catch let error as Broken { throw error } catch { expected[name]?.pending.insert(value) }
        trace.add(3, value)
    }

    private mutating func store(_ key: Int, _ backend: EmbeddedBackend) async {
        let value = nextValue
        nextValue += 1
        let record = StateRecord(key: Self.bytes(Int64(key)), value: Self.bytes(value))
        do {
            let ticket = try backend.stateLog.append([record], to: key)
            try await backend.stateLog.durable(ticket)
            states[key] = [value]
        } catch { states[key, default: [-1]].insert(value) }
        trace.add(4, value)
    }

    private static func bytes(_ value: Int64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendBigEndian(value)
        return bytes
    }

    // MARK: - After the power came back

    private mutating func check(_ backend: EmbeddedBackend) async throws {
        let quarantined = backend.quarantined
        try promise(quarantined.isEmpty, "quarantine: \(quarantined)")
        try promise(backend.statistics().failedPartitionCount == 0, "a partition takes no writes")
        let there = Set(try await backend.topics().map(\.name))
        for (name, known) in expected.sorted(by: { $0.key < $1.key }) {
            let isThere = there.contains(name)
            try promise(known.isThere ?? isThere == isThere, "\(name) is there: \(isThere)")
            expected[name]?.isThere = isThere
            guard isThere else { continue }
            let topic = try backend.topic(name)
            let found = try await values(of: topic)
            try compare(found, name)
            expected[name]?.values = found
            expected[name]?.pending = []
            let retentionMs = topic.configuration.retentionMs ?? -1
            try promise(known.retentionMs.contains(retentionMs), "\(name): \(retentionMs) ms")
            expected[name]?.retentionMs = [retentionMs]
            let partitions = topic.partitionCount
            try promise(known.partitionCount.contains(partitions), "\(name): \(partitions)")
            expected[name]?.partitionCount = partitions...partitions
            trace.add(5, Int64(found.count), retentionMs, Int64(partitions))
        }
        for (key, possible) in states.sorted(by: { $0.key < $1.key }) {
            var found: Int64 = -1
            try await backend.stateLog.replay(key) { records in
                if let value = records.last?.value { found = value.span.int64(at: 0) }
            }
            try promise(possible.contains(found), "state \(key) is \(found), not of \(possible)")
            states[key] = [found]
            trace.add(6, found)
        }
    }

    /// All that was acknowledged, in order, and behind it at most what was on its way.
    private func compare(_ found: [Int64], _ name: String) throws(Broken) {
        guard let known = expected[name] else { return }
        let count = known.values.count
        try promise(Array(found.prefix(count)) == known.values, "\(name): \(found), not \(known)")
        for value in found.dropFirst(count) {
            try promise(known.pending.contains(value), "\(name): \(value) was not appended")
        }
    }

    private func values(of topic: any Topic) async throws -> [Int64] {
        var values: [Int64] = []
        var next = Offset(0)
        while true {
            let fetched = try await topic.read(0, from: next, maxBytes: 1 << 20)
            guard !fetched.batches.isEmpty else { return values }
            var reader = RecordBatchReader(fetched.batches)
            while let record = try reader.next() {
                guard record.offset >= next, let value = record.value else { continue }
                next = record.offset + 1
                values.append(Array(reader.bytes[value]).span.int64(at: 0))
            }
        }
    }
}

/// The bits of topic IDs.
private final class RandomIDs: Sendable {
    private let random: Mutex<SeededRandom>

    init(_ seed: UInt64) { random = Mutex(SeededRandom(seed: seed)) }

    func next() -> UInt64 { random.withLock { $0.next() } }
}
