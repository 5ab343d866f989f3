import LogEngine
import Platform
import TestSupport
import Testing

/// Descriptors and indexes of closed segments, within a budget for all partitions.
struct OpenSegmentsTests {
    /// Partitions of many segments that share one budget.
    private static func partitions(
        _ count: Int, _ budget: OpenSegments, workers: WorkerPool, _ bench: Bench
    ) async throws -> [Partition] {
        var partitions: [Partition] = []
        for number in 0..<count {
            let partition = try Partition.open(
                "/data/\(number)", disk: bench.disk, time: bench.time, workers: workers,
                openSegments: budget, options: bench.options, progress: { _ in })
            for index in 0..<40 {
                _ = try partition.append(batch(["\(number)/\(index) of some length"]))
                bench.settle()
            }
            partitions.append(partition)
        }
        return partitions
    }

    @Test(arguments: [1, 3, 10])
    func `however many segments are read, no more than the budget stay open`(
        limit: Int
    ) async throws {
        var bench = Bench()
        bench.options.segmentBytes = 250
        let budget = OpenSegments(fileLimit: limit)
        let partitions = try await Self.partitions(3, budget, workers: bench.workers, bench)
        #expect(budget.figures.fileCount <= limit)
        for (number, partition) in partitions.enumerated() {
            let values = try await partition.values(maxBytes: 1)
            #expect(values.count == 40 && values[39] == "\(number)/39 of some length")
            #expect(budget.figures.fileCount <= limit)
            _ = try await partition.offset(atOrAfter: 0)
        }
        #expect(bench.disk.openFileCount <= 3 + limit)
    }

    @Test func `indexes are given back as well, by their bytes`() async throws {
        var bench = Bench()
        bench.options.segmentBytes = 64_000
        let budget = OpenSegments(fileLimit: 1000, indexByteLimit: 1000)
        let partition = try Partition.open(
            "/data/0", disk: bench.disk, time: bench.time, workers: bench.workers,
            openSegments: budget, options: bench.options, progress: { _ in })
        let value = String(repeating: "x", count: 1000)
        for _ in 0..<700 { try await bench.store([value], in: partition) }
        for offset in stride(from: Int64(699), through: 1, by: -7) {
            let bytes = try await partition.read(from: Offset(offset), maxBytes: 1)
            #expect(bytes.count > 1000)
            #expect(budget.figures.indexByteCount <= 1000 || budget.figures.fileCount == 1)
        }
    }

    @Test func `what is read again and again stays, and what is not goes`() async throws {
        var bench = Bench()
        bench.options.segmentBytes = 250
        let budget = OpenSegments(fileLimit: 4)
        let partition = try await Self.partitions(1, budget, workers: bench.workers, bench)[0]
        _ = try await partition.read(from: Offset(1), maxBytes: 1)
        let opened = Counter()
        bench.disk.inject { operation, path, _ in
            if operation == .open { opened.add(path) }
            return nil
        }
        for offset in Int64(6)..<36 {
            _ = try await partition.read(from: Offset(1), maxBytes: 1)
            _ = try await partition.read(from: Offset(offset), maxBytes: 1)
        }
        #expect(!opened.paths.contains { $0.hasSuffix("00000000000000000000.log") })
        #expect(opened.paths.count > 5)
    }

    /// Pitfall 28, with threads: a budget of one, so that every read takes another's place.
    @Test func `a reader whose segment is let go reads on`() async throws {
        var bench = Bench()
        bench.options.segmentBytes = 250
        let budget = OpenSegments(fileLimit: 1)
        let made = try await Self.partitions(3, budget, workers: bench.workers, bench)
        for partition in made { try partition.close() }
        bench.disk.setCold(true)
        let pool = WorkerPool(name: "open", limit: 4)
        var partitions: [Partition] = []
        for number in 0..<3 {
            partitions.append(
                try Partition.open(
                    "/data/\(number)", disk: bench.disk, time: bench.time, workers: pool,
                    openSegments: budget, options: bench.options, progress: { _ in }))
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, partition) in partitions.enumerated() {
                for reader in 0..<2 {
                    group.addTask {
                        for _ in 0..<10 {
                            let values = try await partition.values(maxBytes: 1 + reader * 500)
                            #expect(values.count == 40)
                            for (offset, value) in values {
                                #expect(value == "\(number)/\(offset) of some length")
                            }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(budget.figures.fileCount <= 1)
    }
}
