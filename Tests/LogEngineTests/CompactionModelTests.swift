import LogEngine
import Platform
import TestSupport
import Testing

/// Pitfalls 13, 14: random histories of a compacted log, with kills and power cuts at any step.
///
/// The model holds every record ever appended. A reader who has built a table from the records in
/// front of any offset, and reads on from there, must end with the same table as one who has seen
/// all of them; and no record appears that was not appended.
struct CompactionModelTests {
    @Test(arguments: 0..<20)
    func `no schedule changes what a reader at any position ends with`(block: UInt64) async throws {
        for seed in block * 25..<(block + 1) * 25 {
            var schedule = try CompactionSchedule(seed: seed)
            try await schedule.run()
        }
    }

    /// Every step of a compaction, a crash in front of it, twice in a row.
    @Test(arguments: 0..<6)
    func `a crash at each step leaves the old segments or the new`(seed: UInt64) async throws {
        for step in 0..<400 {
            let bench = Bench.compacted(segmentBytes: 500)
            var partition = try bench.open()
            for number in 0..<24 {
                try await bench.store([Keyed("\(number % 5)", "\(number)")], in: partition)
            }
            let before = try await partition.keyed()
            bench.disk.failAll(from: bench.disk.operationCount + step)
            let isDone: Bool
            do throws(LogError) {
                try await partition.compact(bench.settings())
                isDone = true
            } catch { isDone = false }
            bench.disk.crash(seed: seed)
            bench.disk.failAll(from: bench.disk.operationCount + step % 7)
            do throws(LogError) { _ = try bench.reopen() } catch {}
            bench.disk.crash(seed: seed + 1)
            partition = try bench.reopen()
            #expect(partition.failure == nil, "step \(step)")
            let after = try await partition.keyed()
            #expect(table(after) == table(before), "step \(step)")
            #expect(after.allSatisfy { before[$0.key] == $0.value }, "step \(step)")
            let names = try bench.disk.list(bench.directory)
            let left = names.filter { $0.hasSuffix(".swap") || $0.hasSuffix(".cleaned") }
            #expect(left.isEmpty, "step \(step): \(names)")
            try await partition.compact(bench.settings())
            #expect(table(try await partition.keyed()) == table(before), "step \(step)")
            try await bench.store([Keyed("next", "n")], in: partition)
            if isDone { return }
        }
        Issue.record("more steps than were tried")
    }

    /// R2 in small: each disk call of a compaction fails once.
    @Test(arguments: [SimulatedDisk.Fault.inputOutput, .noSpace])
    func `a disk call that fails once loses nothing, and writing goes on`(
        fault: SimulatedDisk.Fault
    ) async throws {
        for step in 0..<400 {
            let bench = Bench.compacted(segmentBytes: 500)
            var partition = try bench.open()
            for number in 0..<24 {
                try await bench.store([Keyed("\(number % 5)", "\(number)")], in: partition)
            }
            let before = table(try await partition.keyed())
            let first = bench.disk.operationCount + step
            bench.disk.inject { _, _, number in number == first ? fault : nil }
            do throws(LogError) { try await partition.compact(bench.settings()) } catch {}
            let isDone = bench.disk.operationCount <= first
            bench.disk.inject(nil)
            for maxBytes in [1, 1 << 20] {
                let found = table(try await partition.keyed(maxBytes: maxBytes))
                #expect(found == before, "step \(step)")
            }
            try await bench.store([Keyed("next", "n")], in: partition)
            try await partition.compact(bench.settings())
            if step % 2 == 0 { try partition.close() }
            bench.disk.crash(seed: UInt64(step))
            partition = try bench.reopen()
            #expect(partition.failure == nil, "step \(step)")
            let again = table(try await partition.keyed())
            #expect(again == before.merging(["next": "n"]) { $1 }, "step \(step)")
            if isDone { return }
        }
        Issue.record("more steps than were tried")
    }

    /// Pitfalls 20, 28, with threads: readers by offset and by timestamp, appends and compaction at
    /// once, segments opened and let go of all the while.
    @Test func `readers are not disturbed`() async throws {
        let bench = Bench.compacted(segmentBytes: 600)
        let pool = WorkerPool(name: "compact", limit: 4)
        bench.disk.setCold(true)
        let partition = try Partition.open(
            bench.directory, disk: bench.disk, time: bench.time, workers: pool,
            options: bench.options, progress: { _ in })
        let total = 3000
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for number in 0..<total {
                    let base = try partition.append(
                        batch([Keyed("\(number % 17)", "\(number)")], timestamp: Int64(number)))
                    if number % 20 == 0 { try await partition.durable(before: base.next) }
                }
                try await partition.durable(before: Offset(Int64(total)))
            }
            group.addTask {
                while partition.highWatermark < Offset(Int64(total)) {
                    try await partition.compact(bench.settings(mapKeys: 40))
                }
            }
            for reader in 0..<4 {
                group.addTask {
                    while partition.highWatermark < Offset(Int64(total)) {
                        let end = partition.highWatermark
                        let found = try await partition.keyed(maxBytes: 1 + reader * 300)
                        #expect(found.allSatisfy { $0.value.value == "\($0.key)" })
                        // Whatever was compacted meanwhile, later records of a key were seen.
                        let latest = table(found)
                        for offset in max(0, end.value - 17)..<end.value {
                            let value = latest["\(offset % 17)"].flatMap { Int64($0) } ?? -1
                            #expect(value >= offset)
                        }
                        let wanted = end.value / 2
                        let at = try await partition.offset(atOrAfter: wanted)
                        #expect(at.value >= wanted)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(partition.statistics.compactionPassCount > 1)
        #expect(partition.byteCount < 40_000)
        try partition.close()
        #expect(table(try await bench.open().keyed()).count == 17)
    }
}

/// One random history of one compacted partition.
private struct CompactionSchedule {
    private var bench: Bench
    private var random: SeededRandom
    private let seed: UInt64
    private var partition: Partition
    /// Every record, as far as a crash left it.
    private var appended: [Int64: Keyed] = [:]
    private var promised: Int64 = 0
    /// Whether tombstones may have stood for their time: then only a reader from the start counts.
    private var hasAged = false
    private var nextValue = 0

    init(seed: UInt64) throws {
        self.seed = seed
        random = SeededRandom(seed: seed)
        bench = Bench.compacted(segmentBytes: Int64(200 + random.below(1200)))
        bench.options.compressionType = random.below(3) == 0 ? .gzip : .none
        partition = try bench.open()
    }

    mutating func run() async throws {
        for _ in 0..<40 + random.below(60) {
            switch random.below(20) {
            case 0..<11: try append()
            case 11..<14: try await acknowledge()
            case 14, 15: try await compact()
            case 16: try await check()
            case 17: try restart()
            case 18: age()
            default: try await crash()
            }
        }
        try await crash()
        try await acknowledge()
        try await compact()
        try await check()
    }

    private mutating func append() throws {
        let records = (0...random.below(5)).map { _ in
            nextValue += 1
            let key = "key \(random.below(12))"
            let padding = String(repeating: "x", count: random.below(60))
            return Keyed(key, random.below(5) == 0 ? nil : "\(nextValue) \(padding)")
        }
        let timestamp = [0, 10_413_792_000_000, -5, Int64(nextValue)][random.below(4)]
        let base = try partition.append(batch(records, timestamp: timestamp)).value
        #expect(base >= promised, "seed \(seed): offset reused")
        for (index, record) in records.enumerated() { appended[base + Int64(index)] = record }
    }

    private mutating func acknowledge() async throws {
        bench.settle()
        try await partition.durable(before: partition.logEnd)
        promised = partition.logEnd.value
    }

    private mutating func compact() async throws {
        try await partition.compact(bench.settings(mapKeys: 1 + random.below(20)))
    }

    private mutating func age() {
        bench.time.advance(by: .seconds(30 * 3600))
        hasAged = true
    }

    private mutating func restart() throws {
        try partition.close()
        partition = try bench.reopen()
        promised = partition.logEnd.value
    }

    /// The power goes, or the process, often in the middle of a compaction or of the next start.
    private mutating func crash() async throws {
        if random.below(4) == 0 {
            bench.disk.kill()
            bench.settle()
        } else {
            bench.disk.failAll(from: bench.disk.operationCount + random.below(60))
            do throws(LogError) {
                try await partition.compact(bench.settings(mapKeys: 1 + random.below(20)))
            } catch {}
            cut()
        }
        while random.below(3) == 0 {
            bench.disk.failAll(from: bench.disk.operationCount + random.below(20))
            do throws(LogError) { _ = try bench.reopen() } catch {}
            cut()
        }
        partition = try bench.reopen()
        #expect(partition.failure == nil, "seed \(seed)")
        appended = appended.filter { $0.key < partition.logEnd.value }
        try await check()
    }

    private mutating func cut() {
        bench.disk.crash(seed: random.next())
        bench.settle()
    }

    private mutating func check() async throws {
        let end = partition.highWatermark.value
        #expect(end >= promised, "seed \(seed): a promise is broken")
        promised = end
        let durable = appended.filter { $0.key < end }
        let wanted = table(durable)
        let found = try await partition.keyed(maxBytes: 1 + random.below(2000))
        #expect(
            found.allSatisfy { durable[$0.key] == $0.value }, "seed \(seed): an invented record")
        #expect(table(found) == wanted, "seed \(seed)")
        if hasAged { return }
        for _ in 0..<5 {
            let position = Int64(random.below(Int(end) + 1))
            let seen = table(durable.filter { $0.key < position })
            let rest = try await partition.keyed(from: position)
            #expect(table(rest, onto: seen) == wanted, "seed \(seed), from \(position)")
        }
    }
}
