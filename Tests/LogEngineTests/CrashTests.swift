import LogEngine
import Platform
import TestSupport
import Testing

/// Random histories with power cuts, each from a seed: a failure prints it.
///
/// Pitfalls 1, 4, 5, 7 and 17; rules R1 in small. The model knows what was appended at each offset,
/// what was acknowledged and what a reader has been shown.
struct CrashTests {
    @Test(arguments: 0..<30)
    func `no schedule of crashes loses or changes what was acknowledged`(block: UInt64) async throws
    {
        for seed in block * 100..<(block + 1) * 100 {
            var schedule = try Schedule(seed: seed)
            try await schedule.run()
        }
    }

    /// R1: the same seed gives the same history.
    @Test func `a seed tells the whole history`() async throws {
        for seed in UInt64(5000)..<5020 {
            var first = try Schedule(seed: seed)
            try await first.run()
            var second = try Schedule(seed: seed)
            try await second.run()
            #expect(first.trace == second.trace, "seed \(seed)")
            #expect(!first.trace.isEmpty)
        }
    }

    /// Pitfall 4: the new segment's name is durable before what is in it is acknowledged.
    @Test(arguments: 0..<40)
    func `a rolled segment is still there after a crash right behind the acknowledgement`(
        seed: UInt64
    ) async throws {
        let bench = try await Bench.filled(segmentBytes: 150, count: 6, isClean: false)
        bench.disk.crash(seed: seed)
        let partition = try bench.open()
        #expect(partition.failure == nil)
        #expect(try await partition.values().count == 6)
    }

    /// Pitfall 7: the new segment reached the disk, the end of the old one did not.
    @Test(arguments: 0..<60)
    func `a roll that a crash reorders leaves no gap and no damage`(seed: UInt64) async throws {
        var bench = Bench()
        bench.options.segmentBytes = 300
        let partition = try bench.open()
        for index in 0..<4 { try await bench.store(["acked \(index)"], in: partition) }
        for index in 0..<12 { _ = try partition.append(batch(["lost or not \(index)"])) }
        bench.disk.crash(seed: seed)
        let again = try bench.open()
        #expect(again.failure == nil)
        let values = try await again.values()
        #expect(values.keys.sorted() == Array(0..<again.logEnd.value))
        #expect(values.count >= 4)
        let end = again.logEnd
        #expect(try await bench.store(["next"], in: again) == end)
        #expect(try await again.values()[end.value] == "next")
    }

    /// Pitfall 5: crash in front of each step of storing a checkpoint.
    @Test(arguments: 0..<8)
    func `a checkpoint is the old or the new one at every crash`(seed: UInt64) async throws {
        for step in 0..<12 {
            let bench = try await Bench.filled(segmentBytes: 300, count: 20)
            let partition = try bench.reopen()
            bench.disk.failAll(from: bench.disk.operationCount + step)
            let isAnswered: Bool
            do throws(LogError) {
                _ = try await partition.deleteRecords(before: Offset(10))
                isAnswered = true
            } catch {
                isAnswered = false
            }
            bench.disk.crash(seed: seed * 100 + UInt64(step))
            let checkpoint = bench.disk.content(bench.directory + "/checkpoint")
            #expect(checkpoint?.isEmpty == false)
            let again = try bench.open()
            #expect(again.failure == nil, "step \(step)")
            let start = again.logStart.value
            #expect(start == 10 || !isAnswered && start == 0, "step \(step)")
            #expect(try await again.values().count == 20 - Int(start), "step \(step)")
        }
    }
}

/// One random history of one partition, and what it must hold to.
private struct Schedule {
    private var bench = Bench()
    private var random: SeededRandom
    private let seed: UInt64
    private var partition: Partition
    /// Appended in this or an earlier run, by offset, as far as a crash left it.
    private var appended: [Int64: String] = [:]
    /// Offsets before this were acknowledged or shown.
    private var promised: Int64 = 0
    /// What `deleteRecords` or retention answered.
    private var logStart: Int64 = 0
    private var nextValue = 0
    private(set) var trace: [String] = []

    init(seed: UInt64) throws {
        self.seed = seed
        random = SeededRandom(seed: seed)
        bench.options.segmentBytes = Int64(200 + random.below(1500))
        bench.options.retentionBytes = random.below(3) == 0 ? 3000 : nil
        partition = try bench.open()
    }

    mutating func run() async throws {
        for _ in 0..<30 + random.below(40) {
            switch random.below(20) {
            case 0..<9: try append()
            case 9..<13: try await acknowledge()
            case 13: try await deleteRecords()
            case 14: try await retain()
            case 15: try await check()
            case 16: try restart()
            case 17: bench.time.advance(by: .seconds(30))
            default: try await crash()
            }
        }
        try await crash()
    }

    private mutating func append() throws {
        let values = (0...random.below(4)).map { index in
            "\(seed)/\(nextValue + index) " + String(repeating: "x", count: random.below(200))
        }
        nextValue += values.count
        let base = try partition.append(batch(values)).value
        #expect(base >= promised, "seed \(seed): offset reused")
        #expect(base == partition.logEnd.value - Int64(values.count), "seed \(seed)")
        for (index, value) in values.enumerated() { appended[base + Int64(index)] = value }
        trace.append("append \(base) \(values.count)")
    }

    private mutating func acknowledge() async throws {
        bench.settle()
        let end = partition.logEnd
        try await partition.durable(before: end)
        #expect(partition.highWatermark == end, "seed \(seed)")
        promised = end.value
        trace.append("durable \(end.value)")
    }

    private mutating func deleteRecords() async throws {
        let highWatermark = partition.highWatermark.value
        guard highWatermark > logStart else { return }
        let offset = logStart + Int64(random.below(Int(highWatermark - logStart) + 1))
        logStart = try await partition.deleteRecords(before: Offset(offset)).value
        #expect(logStart == offset, "seed \(seed)")
        promised = max(promised, offset)
        trace.append("delete \(offset)")
    }

    private mutating func retain() async throws {
        try await partition.enforceRetention()
        #expect(partition.logStart.value >= logStart, "seed \(seed)")
        logStart = partition.logStart.value
        trace.append("retain \(logStart)")
    }

    private mutating func restart() throws {
        try partition.close()
        partition = try bench.reopen()
        #expect(partition.logEnd.value == (appended.keys.max().map { $0 + 1 } ?? 0), "seed \(seed)")
        promised = partition.logEnd.value
        trace.append("restart \(promised)")
    }

    /// The power goes, sometimes in the middle of a sync or of the next start.
    private mutating func crash() async throws {
        if random.below(2) == 0 {
            bench.disk.failAll(from: bench.disk.operationCount + random.below(6))
            bench.settle()
            // What a round that ended well has shown is promised as well.
            promised = max(promised, partition.highWatermark.value)
        }
        bench.disk.crash(seed: random.next())
        bench.settle()
        while random.below(3) == 0 {
            bench.disk.failAll(from: bench.disk.operationCount + random.below(12))
            do throws(LogError) { _ = try bench.reopen() } catch { trace.append("no start") }
            bench.disk.crash(seed: random.next())
        }
        partition = try bench.reopen()
        trace.append("crash \(partition.logStart.value) \(partition.logEnd.value)")
        #expect(partition.failure == nil, "seed \(seed)")
        appended = appended.filter { $0.key < partition.logEnd.value }
        try await check()
    }

    private mutating func check() async throws {
        let end = partition.highWatermark.value
        #expect(end >= promised, "seed \(seed): a promise is broken")
        #expect(partition.logStart.value >= logStart, "seed \(seed): deleted records came back")
        #expect(
            partition.logStart.value <= max(logStart, promised), "seed \(seed): deleted too much")
        logStart = partition.logStart.value
        let found = try await partition.values(maxBytes: 1 + random.below(5000))
        let wanted = appended.filter { $0.key >= logStart && $0.key < end }
        #expect(found == wanted, "seed \(seed)")
        promised = end
        trace.append("check \(found.count)")
    }
}
