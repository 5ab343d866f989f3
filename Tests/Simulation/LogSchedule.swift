import LogEngine
package import Platform
package import TestSupport

/// One random history of one partition over a disk that fails and forgets, and what must hold.
///
/// The model knows what was appended at each offset, and which offsets were acknowledged or shown to
/// a reader. Whatever the disk does, those are there again after the next start, unchanged, and the
/// start is not refused. Told by its seed alone.
package struct LogSchedule {
    /// Puts another disk in front of the simulated one.
    package typealias Plant = @Sendable (SimulatedDisk) -> any Disk

    static let directory = "/topics/EjRWeBI0Eka2gKurze8BIw/0"
    var random: SeededRandom
    let disk = SimulatedDisk()
    let planted: any Disk
    let time = ManualTime()
    let workers = WorkerPool(name: "simulated", limit: 0)
    var options = PartitionOptions()
    var partition: Partition
    /// By offset, what was appended in this or an earlier run, as far as a crash left it.
    var appended: [Value] = []
    /// Offsets before this were acknowledged or shown.
    var promised: Int64 = 0
    /// What `deleteRecords` or retention answered, and the furthest that was asked for.
    var logStart: Int64 = 0
    var wantedStart: Int64 = 0
    private var nextID: Int64 = 0
    var trace = Trace()

    /// Instead of faults by chance, one of the calls fails, once or until the program ends.
    private let fixed: FixedFault?

    package struct FixedFault: Sendable {
        package var number: Int
        package var fault: SimulatedDisk.Fault
        package var isSticky: Bool

        package init(number: Int, fault: SimulatedDisk.Fault, isSticky: Bool) {
            self.number = number
            self.fault = fault
            self.isSticky = isSticky
        }
    }

    struct Value: Equatable {
        var id: Int64
        var byteCount: Int
    }

    private enum Step {
        case append, acknowledge, check, delete, retain, wait, stop, kill, crash
    }

    /// Runs the schedule of a seed; the reason says the first promise that was broken.
    package static func run(seed: UInt64, plant: Plant = { $0 }) async -> ScheduleOutcome {
        await run(seed, plant, nil).outcome
    }

    /// The schedule of a seed with this fault and no other, and how many calls it made.
    package static func run(
        seed: UInt64, fault: FixedFault
    ) async -> (outcome: ScheduleOutcome, callCount: Int) {
        await run(seed, { $0 }, fault)
    }

    private static func run(
        _ seed: UInt64, _ plant: Plant, _ fault: FixedFault?
    ) async -> (outcome: ScheduleOutcome, callCount: Int) {
        var schedule: LogSchedule
        do { schedule = try LogSchedule(seed: seed, plant, fault) } catch {
            return (ScheduleOutcome(trace: 0, failure: "the first start was refused: \(error)"), 0)
        }
        var failure: String?
        do { try await schedule.run() } catch let error as Broken {
            failure = error.reason
        } catch {
            failure = "\(error)"
        }
        let outcome = ScheduleOutcome(trace: schedule.trace.hash, failure: failure)
        return (outcome, schedule.disk.operationCount)
    }

    private init(seed: UInt64, _ plant: Plant, _ fixed: FixedFault?) throws(LogError) {
        random = SeededRandom(seed: seed)
        self.fixed = fixed
        planted = plant(disk)
        options.segmentBytes = Int64(200 + random.below(random.below(4) == 0 ? 20_000 : 1500))
        options.retentionBytes = random.below(3) == 0 ? 3000 : nil
        options.retentionMs = random.below(4) == 0 ? 60_000 : nil
        Self.arm(disk, fixed)
        do throws(LogError) {
            partition = try Self.open(planted, time, workers, options)
        } catch {
            guard fixed != nil else { throw error }
            disk.crash(seed: seed)
            partition = try Self.open(planted, time, workers, options)
        }
    }

    private static func arm(_ disk: SimulatedDisk, _ fixed: FixedFault?) {
        guard let fixed, disk.operationCount <= fixed.number else { return }
        disk.inject { _, _, number in
            number == fixed.number || fixed.isSticky && number > fixed.number ? fixed.fault : nil
        }
    }

    private static func open(
        _ disk: any Disk, _ time: ManualTime, _ workers: WorkerPool, _ options: PartitionOptions
    ) throws(LogError) -> Partition {
        try Partition.open(
            directory, disk: disk, time: time, workers: workers, options: options,
            progress: { _ in })
    }

    private mutating func run() async throws {
        for _ in 0..<12 + random.below(24) {
            let step = step()
            trace.add(Int64(disk.operationCount))
            if random.below(10) == 0, step != .crash, fixed == nil { failSoon() }
            try await take(step)
            if partition.failure != nil { try await end(random.below(2) == 0 ? .kill : .crash) }
        }
        try await end(.crash)
        if fixed != nil {
            disk.crash(seed: random.next())
            try reopen()
            try await check(mayFail: false)
        }
        if random.below(4) == 0, fixed == nil { try await corrupt() }
    }

    private mutating func step() -> Step {
        switch random.below(24) {
        case 0..<10: .append
        case 10..<15: .acknowledge
        case 15, 16: .check
        case 17: .delete
        case 18: .retain
        case 19: .wait
        case 20: .stop
        case 21: .kill
        default: .crash
        }
    }

    /// A fault of one of the next calls: once, from then on, or a write of which a part arrives.
    private mutating func failSoon() {
        let first = disk.operationCount + random.below(8)
        let isSticky = random.below(3) == 0
        var fault = random.below(2) == 0 ? SimulatedDisk.Fault.inputOutput : .noSpace
        fault.writtenByteCount = random.below(3) == 0 ? random.below(60) : 0
        disk.inject { [fault] _, _, number in
            number == first || isSticky && number > first ? fault : nil
        }
    }

    private mutating func take(_ step: Step) async throws {
        switch step {
        case .append: append()
        case .acknowledge: try await acknowledge()
        case .check: try await check(mayFail: true)
        case .delete: await deleteRecords()
        case .retain: await retain()
        case .wait: time.advance(by: .seconds(30))
        case .stop, .kill, .crash: try await end(step)
        }
    }

    // MARK: - Steps

    private mutating func append() {
        var builder = RecordBatchBuilder()
        var values: [Value] = []
        for _ in 0...random.below(4) {
            let size = random.below(30) == 0 ? random.below(9000) : random.below(200)
            let value = Value(id: nextID, byteCount: 8 + size)
            nextID += 1
            var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: value.id), count: 8 + size)
            bytes.setBigEndian(value.id, at: 0)
            let timestamp = 1_700_000_000_000 + Int64(random.below(1_000_000))
            builder.append(timestamp: timestamp, key: nil, value: bytes.span)
            values.append(value)
        }
        let before = partition.logEnd.value
        do throws(LogError) {
            let base = try partition.append(builder, isAwaited: random.below(2) == 0).value
            set(values, from: base)
            trace.add(1, base, Int64(values.count))
        } catch {
            // Whether it is there is not known until the next start, unless there was no space.
            if case .storageFull = error {} else { set(values, from: before) }
            trace.add(2, before)
        }
    }

    private mutating func set(_ values: [Value], from base: Int64) {
        appended.removeLast(appended.count - min(appended.count, Int(base)))
        appended += values
    }

    private mutating func acknowledge() async throws {
        workers.runPending()
        let end = partition.logEnd
        guard partition.highWatermark == end || partition.failure != nil else {
            throw Broken("a sync neither succeeded nor failed at \(end.value)")
        }
        do throws(LogError) {
            try await partition.durable(before: end)
            promised = max(promised, end.value)
        } catch {
            promised = max(promised, partition.highWatermark.value)
        }
        trace.add(3, promised)
    }

    private mutating func deleteRecords() async {
        let highWatermark = partition.highWatermark.value
        guard highWatermark > partition.logStart.value else { return }
        let span = Int(highWatermark - partition.logStart.value)
        wantedStart = max(wantedStart, partition.logStart.value + Int64(random.below(span + 1)))
        do throws(LogError) {
            logStart = max(
                logStart, try await partition.deleteRecords(before: Offset(wantedStart)).value)
        } catch { trace.add(4) }
        trace.add(5, logStart)
    }

    private mutating func retain() async {
        let highWatermark = partition.highWatermark.value
        do throws(LogError) { try await partition.enforceRetention() } catch { trace.add(6) }
        promised = max(promised, highWatermark)
        logStart = max(logStart, partition.logStart.value)
        if options.retentionBytes != nil || options.retentionMs != nil {
            wantedStart = max(wantedStart, partition.highWatermark.value)
        }
        trace.add(7, logStart)
    }

    // MARK: - Ends and starts

    /// The run ends: cleanly, by a kill, or with the power, sometimes in the middle of a sync; and
    /// the next start may end in the same way, more than once.
    private mutating func end(_ step: Step) async throws {
        if step == .stop {
            do throws(LogError) { try partition.close() } catch { trace.add(8) }
        } else if random.below(2) == 0, fixed == nil {
            let last = disk.operationCount + random.below(8)
            disk.inject { _, _, number in number >= last ? .inputOutput : nil }
        }
        workers.runPending()
        // What a round that ended well has shown is promised as well.
        promised = max(promised, partition.highWatermark.value)
        fall(step)
        workers.runPending()
        while random.below(4) == 0, fixed == nil {
            let last = disk.operationCount + random.below(16)
            let isOnce = random.below(3) == 0
            let fault: SimulatedDisk.Fault = random.below(3) == 0 ? .noSpace : .inputOutput
            disk.inject { _, _, number in
                number == last || !isOnce && number > last ? fault : nil
            }
            do throws(LogError) {
                let one = try Self.open(planted, time, workers, options)
                try await reveal(one)
            } catch { trace.add(9) }
            fall(random.below(2) == 0 ? .kill : .crash)
        }
        try reopen()
        trace.add(10, partition.logStart.value, partition.logEnd.value)
        if let failure = partition.failure {
            throw Broken("a start refuses writes: \(failure)")
        }
        let end = partition.logEnd.value
        try promise(end <= Int64(appended.count), "\(end) records, \(appended.count) appended")
        appended.removeLast(appended.count - Int(end))
        try await check(mayFail: fixed != nil)
    }

    private func fall(_ step: Step) {
        if step == .crash { disk.crash(seed: UInt64(disk.operationCount)) } else { disk.kill() }
        Self.arm(disk, fixed)
    }

    private mutating func reopen() throws(Broken) {
        do throws(LogError) {
            partition = try Self.open(planted, time, workers, options)
            guard fixed != nil, partition.failure != nil else { return }
            promised = max(promised, partition.highWatermark.value)
            fall(.crash)
            partition = try Self.open(planted, time, workers, options)
        } catch {
            guard fixed != nil else { throw Broken("a start was refused: \(error)") }
            fall(.crash)
            do throws(LogError) {
                partition = try Self.open(planted, time, workers, options)
            } catch { throw Broken("a second start was refused: \(error)") }
        }
    }

    /// What a start shows that itself is cut short holds from then on.
    private mutating func reveal(_ partition: Partition) async throws(LogError) {
        promised = max(promised, partition.highWatermark.value)
    }

    mutating func check(mayFail: Bool) async throws {
        let end = partition.highWatermark.value
        try promise(end >= promised, "\(promised) were promised, \(end) are there")
        let start = partition.logStart.value
        try promise(start >= logStart, "deleted before \(logStart), now from \(start)")
        try promise(
            start <= max(logStart, wantedStart), "\(start) on, \(wantedStart) was asked for")
        logStart = start
        do throws(LogError) {
            try await read(from: start, to: end)
        } catch {
            guard mayFail, case .disk = error else { throw Broken("read: \(error)") }
            trace.add(11)
            return
        }
        promised = max(promised, end)
        trace.add(12, start, end)
    }

    /// Reads all and compares.
    func read(from start: Int64, to end: Int64) async throws(LogError) {
        var random = random
        var next = start
        while next < end {
            let bytes = try await partition.read(
                from: Offset(next), maxBytes: 1 + random.below(5000))
            var reader = RecordBatchReader(bytes)
            let before = next
            while let record = try reader.next() {
                guard record.offset.value >= next else { continue }
                let found = record.value.map { reader.bytes[$0] } ?? []
                let wanted = appended[Int(next)]
                let isRight =
                    record.offset.value == next && found.count == wanted.byteCount
                    && Array(found).span.int64(at: 0) == wanted.id
                guard isRight else { throw .failed("offset \(next) holds another record") }
                next += 1
            }
            guard next > before else { throw .failed("a read at \(next) brought nothing") }
        }
    }
}
