import Glibc
import LogEngine
import Platform
import TestSupport
import Testing

@Suite struct `A partition on a failing disk` {
    /// Pitfalls 2 and 3, R4: after a failed sync the kernel may call the pages clean, so it is final.
    @Test func `a failed sync is never acknowledged and never tried again`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        try await bench.store(["safe"], in: partition)
        bench.disk.inject { operation, _, _ in operation == .sync ? .inputOutput : nil }
        let offset = try partition.append(batch(["lost"]))
        bench.settle()
        await #expect(throws: LogError.self) { try await partition.durable(before: offset.next) }
        bench.disk.inject(nil)
        bench.settle()
        await #expect(throws: LogError.self) { try await partition.durable(before: offset.next) }
        #expect(throws: LogError.self) { try partition.append(batch(["more"])) }
        #expect(partition.failure != nil)
        #expect(partition.highWatermark == offset)
        #expect(try await partition.values() == [0: "safe"])
        #expect(throws: LogError.self) { try partition.close() }
        bench.disk.kill()
        let again = try bench.open()
        #expect(again.failure == nil)
        #expect(try await again.values()[0] == "safe")
    }

    /// Pitfalls 23 and 24: junk of a short write is cut off; space that comes back is enough.
    @Test(arguments: [0, 1, 60, 61, 75])
    func `a full disk leaves the file as it was, and writing goes on when there is space`(
        written: Int
    ) async throws {
        let bench = Bench()
        let partition = try bench.open()
        try await bench.store(["a"], in: partition)
        let before = bench.disk.content(bench.path(0))
        bench.disk.inject { operation, _, _ in
            operation == .write ? .init(code: ENOSPC, writtenByteCount: written) : nil
        }
        for _ in 0..<3 {
            do {
                _ = try partition.append(batch(["b"]))
                Issue.record("appended on a full disk")
            } catch {
                guard case .storageFull = error else { throw error }
            }
            #expect(bench.disk.content(bench.path(0)) == before)
        }
        #expect(try await partition.values() == [0: "a"])
        bench.disk.inject(nil)
        #expect(try await bench.store(["c"], in: partition) == Offset(1))
        #expect(try await partition.values() == [0: "a", 1: "c"])
    }

    @Test func `a short write that cannot be cut back ends writing`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        try await bench.store(["a"], in: partition)
        bench.disk.inject { operation, _, _ in
            switch operation {
            case .write: .init(code: ENOSPC, writtenByteCount: 30)
            case .truncate: .inputOutput
            default: nil
            }
        }
        #expect(throws: LogError.self) { try partition.append(batch(["b"])) }
        bench.disk.inject(nil)
        #expect(throws: LogError.self) { try partition.append(batch(["c"])) }
        #expect(partition.failure != nil)
        #expect(try await partition.values() == [0: "a"])
    }

    /// R2 in small: each operation of a fixed workload fails once, by EIO and by ENOSPC; after it, and
    /// after a power cut behind it, what was acknowledged is there.
    @Test(arguments: [EIO, ENOSPC])
    func `whichever operation fails, what was acknowledged stays`(code: Int32) async throws {
        let whole = Bench.small()
        _ = await Self.workload(whole)
        let count = whole.disk.operationCount
        #expect(count > 40)
        for failing in 0..<count {
            let bench = Bench.small()
            bench.disk.inject { _, _, index in index == failing ? .init(code: code) : nil }
            let acknowledged = await Self.workload(bench)
            bench.disk.inject(nil)
            bench.disk.crash(seed: UInt64(failing))
            let partition = try bench.open()
            let found = try await partition.values(from: partition.logStart.value)
            for (offset, value) in acknowledged where offset >= partition.logStart.value {
                #expect(found[offset] == value, "operation \(failing), offset \(offset)")
            }
        }
    }

    /// Opens, appends over several segments, trims and closes; what fails is left out.
    private static func workload(_ bench: Bench) async -> [Int64: String] {
        var acknowledged: [Int64: String] = [:]
        guard let partition = try? bench.open() else { return [:] }
        for index in 0..<12 {
            if let offset = try? await bench.store(["value \(index)"], in: partition) {
                acknowledged[offset.value] = "value \(index)"
            }
            if index == 8 {
                let start = try? await partition.deleteRecords(before: Offset(3))
                if start == Offset(3) { acknowledged = acknowledged.filter { $0.key >= 3 } }
            }
        }
        try? partition.close()
        return acknowledged
    }
}

extension Bench {
    fileprivate static func small() -> Bench {
        var bench = Bench()
        bench.options.segmentBytes = 300
        return bench
    }
}

@Suite struct `Retention and waiting` {
    @Test func `by bytes the oldest segments go, never the active one`() async throws {
        var bench = Bench()
        bench.options.segmentBytes = 500
        bench.options.retentionBytes = 1500
        let partition = try bench.open()
        for index in 0..<60 { try await bench.store(["value \(index)"], in: partition) }
        try await partition.enforceRetention()
        #expect(partition.byteCount <= 2000)
        #expect(partition.logStart > Offset(0))
        #expect(try await partition.values()[59] == "value 59")
        await #expect(throws: LogError.self) {
            try await partition.read(from: Offset(0), maxBytes: 1)
        }
    }

    /// Pitfall 19, R11: age counts from the last append on the monotonic clock; neither the records'
    /// timestamps nor a wall clock that jumps ten years deletes anything.
    @Test func `by age segments go when they are old, and not when the clock jumps`() async throws {
        var bench = Bench()
        bench.options.retentionMs = 1000
        bench.options.segmentBytes = 300
        let partition = try bench.open()
        for timestamp: Int64 in [0, 5_000_000_000_000, 1] {
            _ = try partition.append(batch(["x", "y"], timestamp: timestamp))
            bench.settle()
        }
        let tenYears = Duration.seconds(10 * 365 * 86_400)
        for jump in [tenYears, .zero - tenYears - tenYears] {
            bench.time.jumpWall(by: jump)
            try await partition.enforceRetention()
            #expect(partition.logStart == Offset(0))
        }
        bench.time.advance(by: .milliseconds(1500))
        try await partition.enforceRetention()
        bench.settle()
        try await partition.enforceRetention()
        #expect((partition.logStart, partition.logEnd) == (Offset(6), Offset(6)))
        #expect(try await bench.store(["z"], in: partition) == Offset(6))
    }

    /// Pitfall 20: who reads while the segment goes gets its records or a clear refusal.
    @Test func `a read before the log start says where it is`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        try await bench.store(["a", "b", "c"], in: partition)
        _ = try await partition.deleteRecords(before: Offset(2))
        do {
            _ = try await partition.read(from: Offset(1), maxBytes: 100)
            Issue.record("read what was trimmed")
        } catch {
            guard case .offsetTrimmed(let earliest) = error else { throw error }
            #expect(earliest == Offset(2))
        }
        #expect(try await partition.values(from: 2) == [2: "c"])
    }

    @Test func `a sync nobody waits for is put off, and a waiter or watcher brings it at once`()
        throws
    {
        let bench = Bench()
        let partition = try bench.open()
        _ = try partition.append(batch(["a"]), isAwaited: false)
        #expect(partition.highWatermark == Offset(0))
        let wakeup = Wakeup()
        let id = partition.watch(past: Offset(0), wakeup)
        bench.settle()
        #expect(partition.highWatermark == Offset(1))
        partition.unwatch(id)
    }

    @Test func `one sync serves all who wait`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        let before = partition.statistics.syncCount
        for value in 0..<50 { _ = try partition.append(batch(["\(value)"])) }
        bench.settle()
        try await partition.durable(before: Offset(50))
        #expect(partition.statistics.syncCount == before + 1)
    }

    /// Pitfall 47: an append between the look and the wait wakes; with real threads, 20,000 times.
    @Test(.timeLimit(.minutes(1)))
    func `no append slips between the look and the wait`() async throws {
        let workers = WorkerPool(name: "race", limit: 2)
        let partition = try Partition.open(
            "/race", disk: SimulatedDisk(), time: SystemTime(), workers: workers,
            options: PartitionOptions(), progress: { _ in })
        startThread("producer") {
            for _ in 0..<20_000 { _ = try? partition.append(batch(["x"]), isAwaited: false) }
        }
        let wakeup = Wakeup()
        var seen = Offset(0)
        while seen < Offset(20_000) {
            let id = partition.watch(past: seen, wakeup)
            if partition.highWatermark == seen { await wakeup.wait() }
            partition.unwatch(id)
            seen = partition.highWatermark
        }
        #expect(seen == Offset(20_000))
    }

    @Test func `a time is found as a walk over all records finds it`() async throws {
        var random = SeededRandom(seed: 9)
        var bench = Bench()
        bench.options.segmentBytes = 9_000
        let partition = try bench.open()
        var times: [Int64] = []
        for _ in 0..<400 {
            let time = Int64(random.below(1000))
            times.append(time)
            _ = try partition.append(batch([String(repeating: "x", count: 40)], timestamp: time))
        }
        bench.settle()
        for wanted in stride(from: Int64(-1), through: 1001, by: 13) {
            let expected = times.firstIndex { $0 >= wanted } ?? 400
            #expect(
                try await partition.offset(atOrAfter: wanted).value == Int64(expected), "\(wanted)")
        }
    }
}
