import LogEngine
import Platform
import TestSupport
import Testing

struct RetentionTests {
    /// 40 records in segments of three, all durable.
    private static func bench(
        _ change: (inout PartitionOptions) -> Void
    ) async throws -> (Bench, Partition) {
        var bench = Bench()
        bench.options.segmentBytes = 250
        change(&bench.options)
        let partition = try bench.open()
        for index in 0..<40 { try await bench.store(["value \(index)"], in: partition) }
        return (bench, partition)
    }

    @Test func `by bytes the oldest segments go until the rest fits, and no more`() async throws {
        let (bench, partition) = try await Self.bench { $0.retentionBytes = 1000 }
        let sizes = try bench.bases().map { bench.disk.content(bench.path($0))?.count ?? 0 }
        try await partition.enforceRetention()
        #expect(partition.byteCount >= 1000)
        #expect(partition.byteCount - Int64(sizes[0]) <= 1000)
        #expect(partition.logStart.value == Int64(try bench.bases()[0]))
        #expect(try await partition.values().count == 40 - Int(partition.logStart.value))
        #expect(partition.logEnd == Offset(40))
    }

    @Test func `by age segments go a while after their last append`() async throws {
        let (bench, partition) = try await Self.bench { $0.retentionMs = 60_000 }
        bench.time.advance(by: .seconds(50))
        try await bench.store(["young"], in: partition)
        try await partition.enforceRetention()
        #expect(partition.logStart == Offset(0))
        bench.time.advance(by: .seconds(11))
        try await partition.enforceRetention()
        let start = partition.logStart
        #expect(start > Offset(30) && start <= Offset(40))
        #expect(try await partition.values()[40] == "young")
    }

    /// A segment that never fills and is never idle must not keep its first records for ever.
    @Test func `by age records go also where others come all the time`() async throws {
        var bench = Bench()
        bench.options.retentionMs = 60_000
        let partition = try bench.open()
        for second in 0..<300 {
            try await bench.store(["at \(second)"], in: partition)
            if second % 10 == 9 { try await partition.enforceRetention() }
            bench.time.advance(by: .seconds(1))
            #expect(Int64(second) - partition.logStart.value <= 140)
        }
        #expect(partition.logStart >= Offset(160))
        #expect(try await partition.values()[299] == "at 299")
    }

    /// The draft of the checkpoint needs space that only what is to go can give.
    @Test func `a full disk does not keep records from going`() async throws {
        let (bench, partition) = try await Self.bench { _ in }
        let freed = Counter()
        bench.disk.inject { operation, path, _ in
            if operation == .remove, path.hasSuffix("index") { freed.add(path) }
            let isDraft = operation == .write && path.hasSuffix("checkpoint.tmp")
            return isDraft && freed.paths.isEmpty ? .noSpace : nil
        }
        let start = try await partition.deleteRecords(before: Offset(20))
        #expect(start == Offset(20) && !freed.paths.isEmpty)
        try partition.close()
        #expect(try await bench.open().values().count == 20)
    }

    /// Pitfall 19, R11: neither the wall clock nor clients' timestamps say how old a record is.
    @Test(arguments: [1, -1])
    func `a wall clock that jumps ten years deletes nothing`(sign: Int) async throws {
        let (bench, partition) = try await Self.bench { $0.retentionMs = 60_000 }
        bench.time.jumpWall(by: .seconds(sign * 10 * 365 * 86_400))
        try await partition.enforceRetention()
        #expect(partition.logStart == Offset(0))
        try partition.close()
        let again = try bench.open()
        try await again.enforceRetention()
        #expect(try await again.values().count == 40)
    }

    /// Pitfall 19.
    @Test(arguments: [0, 10_413_792_000_000, Int64.min, .max])
    func `timestamps of records do not delete or keep`(timestamp: Int64) async throws {
        var bench = Bench()
        bench.options.segmentBytes = 250
        bench.options.retentionMs = 60_000
        let partition = try bench.open()
        for index in 0..<12 {
            _ = try partition.append(batch(["value \(index)"], timestamp: timestamp))
            bench.settle()
        }
        try await partition.enforceRetention()
        #expect(partition.logStart == Offset(0))
        bench.time.advance(by: .seconds(61))
        try await partition.enforceRetention()
        #expect(partition.logStart == Offset(12))
    }

    /// Pitfall 19, KAFKA-3802: a restart makes nothing young again, nor old.
    @Test func `ages are kept over a restart`() async throws {
        let (bench, partition) = try await Self.bench { $0.retentionMs = 60_000 }
        bench.time.advance(by: .seconds(40))
        try partition.close()
        let again = try bench.open()
        bench.time.advance(by: .seconds(19))
        try await again.enforceRetention()
        #expect(again.logStart == Offset(0))
        bench.time.advance(by: .seconds(2))
        try await again.enforceRetention()
        #expect(again.logStart == Offset(40))
    }

    /// Pitfall 19: age counts from the last append, in whichever run of the program it came.
    @Test(arguments: [true, false])
    func `an append makes a segment young again, also after a restart`(
        isRestarted: Bool
    ) async throws {
        let (bench, first) = try await Self.bench {
            $0.retentionMs = 60_000
            $0.segmentBytes = 100_000
        }
        bench.time.advance(by: .seconds(50))
        var partition = first
        if isRestarted {
            try first.close()
            partition = try bench.open()
        }
        try await bench.store(["young"], in: partition)
        bench.time.advance(by: .seconds(20))
        try await partition.enforceRetention()
        #expect(partition.logStart == Offset(0))
        #expect(try await partition.values()[40] == "young")
        bench.time.advance(by: .seconds(41))
        try await partition.enforceRetention()
        #expect(partition.logStart == Offset(41))
    }

    /// Pitfall 19: one sync serves the end of a segment and the beginning of the next.
    @Test func `a segment that is full before its sync is as young as its last append`()
        async throws
    {
        var bench = Bench()
        bench.options.segmentBytes = 250
        bench.options.retentionMs = 60_000
        let partition = try bench.open()
        try await bench.store(["old"], in: partition)
        bench.time.advance(by: .seconds(61))
        for index in 0..<4 { _ = try partition.append(batch(["young \(index)"])) }
        bench.settle()
        #expect(try bench.bases().count == 2)
        try await partition.enforceRetention()
        #expect(partition.logStart == Offset(0))
        #expect(try await partition.values().count == 5)
    }

    /// Pitfall 17.
    @Test(arguments: 0..<10)
    func `with everything deleted offsets go on where they were, also after a crash`(
        seed: UInt64
    ) async throws {
        let (bench, partition) = try await Self.bench { $0.retentionMs = 60_000 }
        bench.time.advance(by: .seconds(61))
        if seed % 2 == 0 {
            try await partition.enforceRetention()
        } else {
            _ = try await partition.deleteRecords(before: Offset(40))
        }
        #expect(partition.logStart == Offset(40))
        bench.disk.crash(seed: seed)
        let again = try bench.open()
        #expect(again.failure == nil)
        #expect(again.logStart == Offset(40))
        #expect(again.logEnd == Offset(40))
        #expect(try await bench.store(["next"], in: again) == Offset(40))
        #expect(try await again.values() == [40: "next"])
    }

    /// Pitfall 20: the file is held by its reader, whatever its name has come to.
    @Test func `a reader behind the new log start is told so, and one in front reads on`()
        async throws
    {
        let (_, partition) = try await Self.bench { _ in }
        let early = try await partition.read(from: Offset(4), maxBytes: 1)
        #expect(!early.isEmpty)
        #expect(try await partition.deleteRecords(before: Offset(20)) == Offset(20))
        do throws(LogError) {
            _ = try await partition.read(from: Offset(5), maxBytes: 1)
            Issue.record("read")
        } catch {
            guard case .offsetTrimmed(earliest: Offset(20)) = error else {
                Issue.record("\(error)")
                return
            }
        }
        #expect(try await partition.values().count == 20)
    }

    /// Pitfall 20, with threads: reads and deletions at once, on a pool that has any.
    @Test func `readers that race with deletion read whole batches or hear offsetTrimmed`()
        async throws
    {
        var bench = Bench()
        bench.options.segmentBytes = 250
        let pool = WorkerPool(name: "retain", limit: 3)
        bench.disk.setCold(true)
        let partition = try Partition.open(
            bench.directory, disk: bench.disk, time: bench.time, workers: pool,
            options: bench.options, progress: { _ in })
        for index in 0..<300 { _ = try partition.append(batch(["value \(index)"])) }
        try await partition.durable(before: Offset(300))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var next = Offset(0)
                    while next < Offset(300) {
                        do throws(LogError) {
                            var reader = RecordBatchReader(
                                try await partition.read(from: next, maxBytes: 1))
                            while let record = try reader.next() {
                                let bytes = record.value.map { Array(reader.bytes[$0]) }
                                #expect(bytes == Array("value \(record.offset.value)".utf8))
                                next = max(next, record.offset.next)
                            }
                        } catch {
                            guard case .offsetTrimmed(let earliest) = error, earliest > next else {
                                throw error
                            }
                            next = earliest
                        }
                    }
                }
            }
            group.addTask {
                for offset in stride(from: Int64(0), through: 290, by: 10) {
                    _ = try await partition.deleteRecords(before: Offset(offset))
                }
            }
            try await group.waitForAll()
        }
        try partition.close()
    }

    @Test func `deleted records are gone for good before the answer comes`() async throws {
        for seed in UInt64(0)..<20 {
            let (bench, partition) = try await Self.bench { _ in }
            let start = try await partition.deleteRecords(before: Offset(17))
            #expect(start == Offset(17))
            #expect(try await partition.deleteRecords(before: Offset(3)) == Offset(17))
            bench.disk.crash(seed: seed)
            let again = try bench.open()
            #expect(again.logStart == Offset(17), "seed \(seed)")
            #expect(try await again.values().count == 23)
        }
    }

    @Test func `records that are not durable cannot be deleted`() async throws {
        let (_, partition) = try await Self.bench { _ in }
        _ = try partition.append(batch(["unsynced"]))
        await #expect(throws: LogError.self) {
            try await partition.deleteRecords(before: Offset(41))
        }
        #expect(partition.logStart == Offset(0))
    }
}
