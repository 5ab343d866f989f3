import LogEngine
import Platform
import Synchronization
import TestSupport
import Testing

/// Group commit, and who hears of it.
struct SyncTests {
    @Test func `one sync serves all who wait`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        for index in 0..<50 { _ = try partition.append(batch(["\(index)"])) }
        _ = bench.disk.takeTrace()
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<50 {
                group.addTask {
                    do throws(LogError) {
                        try await partition.durable(before: Offset(Int64(index) + 1))
                    } catch { Issue.record("\(error)") }
                }
            }
            group.addTask { bench.settle() }
        }
        #expect(bench.disk.takeTrace() == ["sync 00000000000000000000.log"])
        #expect(partition.statistics.syncCount == 1)
    }

    /// Pitfall 6: the exact list, so that none is dropped for speed.
    @Test func `each operation syncs what it must, in this order`() async throws {
        var bench = Bench()
        bench.options.segmentBytes = 150
        let partition = try bench.open()
        let (first, second) = ("00000000000000000000.log", "00000000000000000001.log")
        let checkpoint = [
            "sync checkpoint.tmp", "rename checkpoint.tmp checkpoint", "sync directory",
        ]
        let (begun, chain) = ("00000000000000000000.chain", "00000000000000000001.chain")
        #expect(
            bench.disk.takeTrace()
                == ["sync directory", "sync \(first)", "sync \(begun)", "sync directory"]
                + checkpoint)
        let value = String(repeating: "x", count: 90)
        try await bench.store([value], in: partition)
        #expect(bench.disk.takeTrace() == ["sync \(first)"])
        try await bench.store([value], in: partition)
        #expect(
            bench.disk.takeTrace()
                == [
                    "sync \(first)", "sync \(second)", "sync \(begun)", "sync \(chain)",
                    "sync directory",
                ] + checkpoint)
        _ = try await partition.deleteRecords(before: Offset(1))
        let removals = ["index", "timeindex", "chain", "log"].map {
            "remove 00000000000000000000.\($0)"
        }
        #expect(bench.disk.takeTrace() == checkpoint + removals)
        try partition.close()
        #expect(bench.disk.takeTrace() == checkpoint)
    }

    @Test func `a batch nobody waits for is synced with those of the next moment`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        let before = partition.statistics.syncCount
        for index in 0..<20 { _ = try partition.append(batch(["\(index)"]), isAwaited: false) }
        bench.settle()
        #expect(partition.statistics.syncCount == before + 1)
        #expect(partition.highWatermark == Offset(20))
    }

    /// On a pool with threads, a deferred sync comes by itself.
    @Test func `what nobody waits for becomes durable all the same`() async throws {
        let bench = Bench()
        let pool = WorkerPool(name: "sync", limit: 1)
        let partition = try Partition.open(
            bench.directory, disk: bench.disk, time: bench.time, workers: pool,
            options: bench.options, progress: { _ in })
        _ = try partition.append(batch(["a"]), isAwaited: false)
        while partition.highWatermark < Offset(1) { await Task.yield() }
        #expect(try await partition.values() == [0: "a"])
    }

    /// Waits end by the sync they hasten; were they deferred for ever, this would hang.
    @Test(.timeLimit(.minutes(1)), arguments: [true, false])
    func `who comes to wait or to watch hastens a deferred sync`(isWatching: Bool) async throws {
        let bench = Bench()
        let partition = try bench.open()
        let offset = try partition.append(batch(["a"]), isAwaited: false)
        let wakeup = Wakeup()
        if isWatching {
            let id = partition.watch(past: offset, wakeup)
            bench.settle()
            await wakeup.wait()
            partition.unwatch(id)
        } else {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    do throws(LogError) {
                        try await partition.durable(before: offset.next)
                    } catch { Issue.record("\(error)") }
                }
                group.addTask { bench.settle() }
            }
        }
        #expect(partition.highWatermark == offset.next)
    }

    // MARK: - Watching

    @Test func `a watcher is woken when the high watermark passes and not before`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        let watch = Watch(partition, past: Offset(2))
        try await bench.store(["0"], in: partition)
        try await bench.store(["1"], in: partition)
        #expect(!watch.isWoken)
        _ = try partition.append(batch(["2"]))
        #expect(!watch.isWoken, "written is not durable")
        bench.settle()
        #expect(watch.isWoken)
    }

    @Test func `who watches what is there is woken at once`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        try await bench.store(["0"], in: partition)
        #expect(Watch(partition, past: Offset(0)).isWoken)
        #expect(!Watch(partition, past: Offset(1)).isWoken)
    }

    @Test func `who has left is not woken, and others are`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        let watches = (0..<100).map { Watch(partition, past: Offset(Int64($0 % 3))) }
        for (index, watch) in watches.enumerated() where index % 2 == 0 { watch.leave() }
        try await bench.store(["0", "1", "2"], in: partition)
        for (index, watch) in watches.enumerated() {
            #expect(watch.isWoken == (index % 2 == 1), "\(index)")
        }
    }

    @Test func `one advance wakes five thousand watchers`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        let watches = (0..<5000).map { _ in Watch(partition, past: Offset(0)) }
        try await bench.store(["0"], in: partition)
        for watch in watches { #expect(watch.isWoken) }
    }

    @Test(arguments: ["fails", "closes"])
    func `when the partition goes all watchers hear of it`(end: String) async throws {
        let bench = Bench()
        let partition = try bench.open()
        let watches = (0..<5).map { Watch(partition, past: Offset(Int64($0) * 100)) }
        if end == "fails" {
            bench.disk.inject { operation, _, _ in operation == .sync ? .inputOutput : nil }
            _ = try partition.append(batch(["x"]))
            bench.settle()
        } else {
            try partition.close()
        }
        for watch in watches { #expect(watch.isWoken) }
        if end == "closes" {
            #expect(Watch(partition, past: Offset(100)).isWoken, "and who comes later as well")
            return
        }
        // Else whoever looks at what it can read, and waits for more, would never come to rest.
        #expect(!Watch(partition, past: Offset(0)).isWoken)
        await #expect(throws: LogError.self) {
            try await partition.read(from: Offset(0), maxBytes: 100)
        }
    }

    /// Pitfall 47: append between the look and the wait. A lost wake-up would hang here.
    @Test(.timeLimit(.minutes(5)))
    func `of a million races between append and wait none is lost`() async throws {
        let bench = Bench()
        let pool = WorkerPool(name: "race", limit: 2)
        var options = bench.options
        options.segmentBytes = 1 << 30
        let partition = try Partition.open(
            bench.directory, disk: bench.disk, time: bench.time, workers: pool, options: options,
            progress: { _ in })
        let readerCount: Int64 = 25
        let count: Int64 = 40_000
        // The writer appends the next record when all readers have seen the last one: each is a
        // race of each of them.
        let seen = Wakeup()
        let reached = Reached()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<readerCount {
                group.addTask {
                    let wakeup = Wakeup()
                    var next: Int64 = 0
                    while next < count {
                        let id = partition.watch(past: Offset(next), wakeup)
                        while partition.highWatermark.value <= next { await wakeup.wait() }
                        partition.unwatch(id)
                        next += 1
                        let all = reached.count.add(1, ordering: .sequentiallyConsistent).newValue
                        if all == next * readerCount { seen.wake() }
                    }
                }
            }
            group.addTask {
                for index in 0..<count {
                    _ = try partition.append(batch(["x"]), isAwaited: index % 2 == 0)
                    let all = (index + 1) * readerCount
                    while reached.count.load(ordering: .sequentiallyConsistent) < all {
                        await seen.wait()
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(partition.highWatermark == Offset(count))
        try partition.close()
    }
}

/// How many races all readers together have run.
private final class Reached: Sendable {
    let count = Atomic<Int64>(0)
}

/// A watcher that can be asked, without waiting, whether it has been woken.
private final class Watch: Sendable {
    private let partition: Partition
    private let wakeup = Wakeup()
    private let id: UInt64

    init(_ partition: Partition, past offset: Offset) {
        self.partition = partition
        id = partition.watch(past: offset, wakeup)
    }

    func leave() { partition.unwatch(id) }

    var isWoken: Bool { wakeup.isWoken }
}
