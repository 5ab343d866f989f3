import Backends
import Glibc
import Platform
import Synchronization
import TestSupport
import Testing

/// The power goes at any operation on the disk, and what was not synced is lost, torn, or there.
/// What was acknowledged must hold; what was not may be there or not, and nothing in between.
struct PowerCutTests {
    private typealias Seam = BackendConformance

    /// What a program was told, or was told nothing about.
    private struct Expected {
        /// Acknowledged values of one partition's log, and those on their way when the power went.
        var values: [String: [String]] = [:]
        var pending: [String: Set<String>] = [:]
        /// nil: whether the topic is there is not known.
        var isThere: [String: Bool?] = [:]
        var retentionMs: [String: Set<Int64>] = [:]
        var partitionCount: [String: ClosedRange<Int>] = [:]
        var committed: [String: Set<Int64>] = [:]
    }

    @Test(arguments: 0..<60 as Range<UInt64>)
    func `what was acknowledged holds after a power cut at any operation`(seed: UInt64) async throws
    {
        var random = SeededRandom(seed: seed)
        let disk = SimulatedDisk(losesDirectories: true)
        let harness = EmbeddedHarness(path: "/data", disk: disk, seed: seed)
        var expected = Expected()
        for life in 0..<6 {
            let backend: EmbeddedBackend
            do {
                backend = try await harness.started(locks: false)
            } catch {
                Issue.record("seed \(seed), life \(life): \(error)")
                return
            }
            let groups = GroupCoordinator(
                backend, time: harness.time, random: { 7 })
            await groups.load()
            #expect(backend.quarantined.isEmpty, "seed \(seed), life \(life)")
            try await check(&expected, backend, groups, "seed \(seed), life \(life)")
            let last = disk.operationCount + random.below(300)
            disk.inject { _, _, number in number >= last ? .inputOutput : nil }
            while disk.operationCount < last {
                await act(&expected, backend, groups, &random)
            }
            disk.crash(seed: random.next())
        }
    }

    // MARK: - One request, and what is known after its answer

    private func act(
        _ expected: inout Expected, _ backend: EmbeddedBackend, _ groups: GroupCoordinator,
        _ random: inout SeededRandom
    ) async {
        let name = "t\(random.below(4))"
        switch random.below(10) {
        case 0, 1: await create(name, &expected, backend)
        case 2: await delete(name, &expected, backend)
        case 3: await alter(name, &expected, backend, Int64(random.below(1000)) + 1_000_000)
        case 4: await commit(name, &expected, groups)
        case 5: await backend.maintain()
        default: await append(name, &expected, backend, "v\(random.below(1 << 40))")
        }
    }

    private func create(
        _ name: String, _ expected: inout Expected, _ backend: EmbeddedBackend
    ) async {
        guard expected.isThere[name] != true else { return }
        do {
            let topic = try await Seam.create(backend, name)
            if expected.isThere[name] == .some(nil) { return }
            expected.isThere[name] = true
            expected.values[name] = []
            expected.pending[name] = []
            expected.committed[name] = []
            expected.retentionMs[name] = [topic.configuration.retentionMs ?? 0]
            expected.partitionCount[name] = 1...1
        } catch {
            if expected.isThere[name] != .some(nil) {
                expected.values[name] = []
                expected.pending[name] = []
                expected.committed[name] = []
                expected.retentionMs[name] = [TopicConfiguration().retentionMs ?? 0]
                expected.partitionCount[name] = 1...1
            }
            expected.isThere.updateValue(nil, forKey: name)
        }
    }

    private func delete(
        _ name: String, _ expected: inout Expected, _ backend: EmbeddedBackend
    ) async {
        guard expected.isThere[name] == true else { return }
        do {
            try await backend.deleteTopic(name)
            expected.isThere[name] = false
        } catch { expected.isThere.updateValue(nil, forKey: name) }
    }

    private func alter(
        _ name: String, _ expected: inout Expected, _ backend: EmbeddedBackend, _ limit: Int64
    ) async {
        guard expected.isThere[name] == true, let count = expected.partitionCount[name] else {
            return
        }
        var change = TopicChange()
        change.retentionMs = limit
        change.partitionCount = count.upperBound + 1
        do {
            _ = try await backend.alterTopic(name, change)
            expected.retentionMs[name] = [limit]
            expected.partitionCount[name] = count.upperBound + 1...count.upperBound + 1
        } catch {
            expected.retentionMs[name]?.insert(limit)
            expected.partitionCount[name] = count.lowerBound...count.upperBound + 1
        }
    }

    private func commit(
        _ name: String, _ expected: inout Expected, _ groups: GroupCoordinator
    ) async {
        guard expected.isThere[name] == true else { return }
        let offset = Int64(expected.values[name]?.count ?? 0)
        do {
            let commit = OffsetCommit(topic: name, partition: 0, offset: Offset(offset))
            try await groups.commit("g", [commit])
            expected.committed[name] = [offset]
        } catch {
            if expected.committed[name]?.isEmpty == true { expected.committed[name] = [-1] }
            expected.committed[name]?.insert(offset)
        }
    }

    private func append(
        _ name: String, _ expected: inout Expected, _ backend: EmbeddedBackend, _ value: String
    ) async {
        guard expected.isThere[name] == true else { return }
        do {
            try await Seam.append([value], to: backend.topic(name))
            expected.values[name]?.append(value)
        } catch { expected.pending[name]?.insert(value) }
    }

    // MARK: - After the power came back

    private func check(
        _ expected: inout Expected, _ backend: EmbeddedBackend, _ groups: GroupCoordinator,
        _ comment: String
    ) async throws {
        let there = Set(try await backend.topics().map(\.name))
        for (name, isThere) in expected.isThere {
            if let isThere { #expect(there.contains(name) == isThere, "\(comment): \(name)") }
            expected.isThere[name] = there.contains(name)
            guard there.contains(name) else { continue }
            let topic = try backend.topic(name)
            try await checkRecords(of: topic, &expected, comment)
            let retentionMs = try #require(topic.configuration.retentionMs)
            #expect(expected.retentionMs[name]?.contains(retentionMs) == true, "\(comment)")
            expected.retentionMs[name] = [retentionMs]
            let count = topic.partitionCount
            #expect(expected.partitionCount[name]?.contains(count) == true, "\(comment)")
            expected.partitionCount[name] = count...count
            let committed = try await groups.committed("g").first { $0.topic == name }
            let possible = expected.committed[name] ?? []
            let found = committed?.offset.value ?? -1
            #expect(possible.contains(found) || possible.isEmpty && found == -1, "\(comment)")
            expected.committed[name] = committed.map { [$0.offset.value] } ?? []
        }
    }

    /// All that was acknowledged in order, and behind it at most what was on its way.
    private func checkRecords(
        of topic: any Topic, _ expected: inout Expected, _ comment: String
    ) async throws {
        let values = try await Seam.values(of: topic)
        let acknowledged = expected.values[topic.name] ?? []
        #expect(Array(values.prefix(acknowledged.count)) == acknowledged, "\(comment)")
        for value in values.dropFirst(acknowledged.count) {
            #expect(expected.pending[topic.name]?.contains(value) == true, "\(comment)")
        }
        expected.values[topic.name] = values
        expected.pending[topic.name] = []
    }
}
