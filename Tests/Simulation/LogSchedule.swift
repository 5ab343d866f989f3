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
    /// Batches that say who sent them, in the order of their first tries.
    var sent: [Sent] = []
    var nextKey: Int64 = 0
    private let hasIdentities: Bool
    let memory = Memory()
    var passes = Passes()
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
        /// Of a compacted partition.
        var key: Int?
        var isTombstone = false
    }

    private enum Step {
        case append, acknowledge, check, delete, retain, compact, wait, stop, kill, crash
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
        hasIdentities = random.below(3) > 0
        if seed % 4 == 3 {
            options.isCompacted = true
            options.segmentBytes = min(options.segmentBytes, 1200)
            options.deleteRetentionMs = Self.deleteRetentionMs
        }
        Self.arm(disk, fixed, memory)
        do throws(LogError) {
            partition = try Self.open(planted, time, workers, options)
        } catch {
            guard fixed != nil else { throw error }
            disk.crash(seed: seed)
            partition = try Self.open(planted, time, workers, options)
        }
    }

    private static func arm(_ disk: SimulatedDisk, _ fixed: FixedFault?, _ memory: Memory) {
        guard let fixed else { return }
        inject(fixed.fault, at: fixed.number, isSticky: fixed.isSticky, disk, memory)
    }

    /// Fails call `first`, and all that follow where it `isSticky`.
    private static func inject(
        _ fault: SimulatedDisk.Fault, at first: Int, isSticky: Bool, _ disk: SimulatedDisk,
        _ memory: Memory
    ) {
        guard disk.operationCount <= first else { return }
        disk.inject { _, path, number in
            guard number == first || isSticky && number > first else { return nil }
            memory.note(path)
            return fault
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
        // Passes need closed segments.
        for _ in 0..<12 + random.below(options.isCompacted ? 60 : 24) {
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
        if options.isCompacted, random.below(6) == 0 { return .compact }
        return switch random.below(24) {
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
        Self.inject(fault, at: first, isSticky: isSticky, disk, memory)
    }

    private mutating func take(_ step: Step) async throws {
        switch step {
        case .append: try append()
        case .acknowledge: try await acknowledge()
        case .check: try await check(mayFail: true)
        case .delete: await deleteRecords()
        case .retain: await retain()
        case .compact: try await compact()
        case .wait: time.advance(by: .seconds(30))
        case .stop, .kill, .crash: try await end(step)
        }
    }

    // MARK: - Steps

    // Inlined into `run` it crashes the compiler (6.3.1, while it splits the coroutine).
    @inline(never)
    private mutating func append() throws {
        guard hasIdentities, random.below(4) > 0 else { return appendPlain() }
        if random.below(4) == 0 { try sendAgain() } else { try appendIdentified() }
    }

    private mutating func appendPlain() {
        let values = newValues()
        let before = partition.logEnd.value
        do throws(LogError) {
            let base = try partition.append(
                builder(of: values), isAwaited: random.below(2) == 0
            ).value
            set(values, from: base)
            trace.add(1, base, Int64(values.count))
        } catch {
            // Whether it is there is not known until the next start, unless there was no space.
            if case .storageFull = error {} else { set(values, from: before) }
            trace.add(2, before)
        }
    }

    mutating func newValues() -> [Value] {
        (0...random.below(4)).map { _ in
            defer { nextID += 1 }
            let size = random.below(30) == 0 ? random.below(9000) : random.below(200)
            guard options.isCompacted else { return Value(id: nextID, byteCount: 8 + size) }
            return Value(
                id: nextID, byteCount: 8 + size, key: random.below(8),
                isTombstone: random.below(4) == 0)
        }
    }

    func builder(of values: [Value], baseTimestamp: Int64? = nil) -> RecordBatchBuilder {
        var builder = RecordBatchBuilder(baseTimestamp: baseTimestamp)
        for value in values {
            let bytes = Self.bytes(of: value)
            let timestamp = Self.timestamp(value)
            let key = [UInt8(value.key ?? 0)]
            if value.key == nil {
                builder.append(timestamp: timestamp, key: nil, value: bytes.span)
            } else if value.isTombstone {
                builder.append(timestamp: timestamp, key: key.span, value: nil)
            } else {
                builder.append(timestamp: timestamp, key: key.span, value: bytes.span)
            }
        }
        return builder
    }

    private static func bytes(of value: Value) -> [UInt8] {
        var bytes = [UInt8](
            repeating: UInt8(truncatingIfNeeded: value.id), count: value.byteCount)
        bytes.setBigEndian(value.id, at: 0)
        return bytes
    }

    /// In any order, and no two alike.
    static func timestamp(_ value: Value) -> Int64 {
        1_700_000_000_000 + value.id * 611_953 % 1_000_000
    }

    mutating func set(_ values: [Value], from base: Int64) {
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
            let last = disk.operationCount + random.below(options.isCompacted ? 60 : 8)
            Self.inject(.inputOutput, at: last, isSticky: true, disk, memory)
            if options.isCompacted { try await compact() }
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
            Self.inject(fault, at: last, isSticky: !isOnce, disk, memory)
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
        // Those whose answer the end has cut off try again, and some whose it has not.
        if hasIdentities, random.below(3) > 0 { try sendAgain() }
    }

    private func fall(_ step: Step) {
        if step == .crash { disk.crash(seed: UInt64(disk.operationCount)) } else { disk.kill() }
        Self.arm(disk, fixed, memory)
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
        let found = try await collect(from: start, to: end)
        guard options.isCompacted, partition.failure == nil, start < end else { return }
        try judge(found, from: start, to: end)
        try await judgePlaces(found, from: start, to: end)
    }

    /// The offsets of the records there are, each as it was appended; but for a compacted partition
    /// without gaps.
    func collect(from start: Int64, to end: Int64) async throws(LogError) -> [Int64] {
        var random = random
        var found: [Int64] = []
        var next = start
        while next < end {
            let bytes = try await partition.read(
                from: Offset(next), maxBytes: 1 + random.below(5000))
            var reader = RecordBatchReader(bytes)
            let before = next
            while let record = try reader.next() {
                let offset = record.offset.value
                guard offset >= next else { continue }
                guard offset == next || options.isCompacted, offset < end,
                    isRight(record, in: reader.bytes)
                else { throw .failed("offset \(next) holds another record") }
                found.append(offset)
                next = offset + 1
            }
            if options.isCompacted { next = max(next, reader.nextOffset.value) }
            guard next > before else { throw .failed("a read at \(next) brought nothing") }
        }
        return found
    }

    private func isRight(_ record: Record, in bytes: [UInt8]) -> Bool {
        let wanted = appended[Int(record.offset.value)]
        let value = wanted.isTombstone ? nil : Self.bytes(of: wanted)
        return record.value.map { Array(bytes[$0]) } == value
            && record.key.map { Array(bytes[$0]) } == wanted.key.map { [UInt8($0)] }
            && record.timestamp == Self.timestamp(wanted)
    }
}
