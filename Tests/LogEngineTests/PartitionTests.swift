import LogEngine
import Platform
import TestSupport
import Testing

struct PartitionTests {
    @Test func `offsets count up from zero and records come back`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        #expect(try await bench.store(["a", "b"], in: partition) == Offset(0))
        #expect(try await bench.store(["c"], in: partition) == Offset(2))
        #expect(try await partition.values() == [0: "a", 1: "b", 2: "c"])
        #expect(partition.logEnd == Offset(3))
        #expect(partition.highWatermark == Offset(3))
    }

    @Test func `records are seen when they are durable and not when they are written`() async throws
    {
        let bench = Bench()
        let partition = try bench.open()
        _ = try partition.append(batch(["a"]))
        #expect(partition.highWatermark == Offset(0))
        #expect(try await partition.read(from: Offset(0), maxBytes: 1000).isEmpty)
        bench.settle()
        #expect(partition.highWatermark == Offset(1))
    }

    @Test func `a closed partition is opened again without a scan`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        for index in 0..<200 { try await bench.store(["value \(index)"], in: partition) }
        try partition.close()
        #expect(throws: LogError.self) { try partition.append(batch(["x"])) }
        bench.disk.crash(seed: 1)
        let again = try bench.open()
        #expect(again.logEnd == Offset(200))
        #expect(try await again.values().count == 200)
    }

    /// What is read ahead of the next batch is read for nothing, and moves what there is.
    @Test func `a read that has what was asked for does not look at the next batch`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        let value = String(repeating: "x", count: 30_000)
        for _ in 0..<3 { try await bench.store([value], in: partition) }
        #expect(try await partition.values(from: 2).count == 1)
        let reads = Counter()
        bench.disk.inject { operation, path, _ in
            if operation == .read, path.hasSuffix(".log") { reads.add(path) }
            return nil
        }
        let bytes = try await partition.read(from: Offset(0), maxBytes: 1)
        #expect(bytes.count > 30_000)
        // The header with what comes at once with it, and the rest of the batch.
        #expect(reads.paths.count == 2)
    }

    @Test func `segments roll and reads go on from one to the next`() async throws {
        var bench = Bench()
        bench.options.segmentBytes = 1000
        let partition = try bench.open()
        for index in 0..<100 { try await bench.store(["value \(index)"], in: partition) }
        #expect(try bench.disk.list(bench.directory).filter { $0.hasSuffix(".log") }.count > 5)
        let whole = try await partition.values(maxBytes: 1 << 20)
        #expect(whole.count == 100)
        #expect(try await partition.values(maxBytes: 1) == whole)
        for offset in 0..<100 {
            let page = try await partition.values(from: Int64(offset))
            #expect(page.count == 100 - offset)
        }
    }
}
