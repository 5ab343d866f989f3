import LogEngine
import Platform
import Synchronization
import TestSupport
import Testing

/// A partition over a simulated disk and manual time. Jobs run when the test says so: `settle`.
struct Bench {
    let disk = SimulatedDisk()
    let time = ManualTime()
    let workers = WorkerPool(name: "test", limit: 0)
    var directory = "/data/0"
    var options = PartitionOptions()

    func open() throws -> Partition {
        try Partition.open(
            directory, disk: disk, time: time, workers: workers, options: options,
            progress: { _ in }
        )
    }

    /// Runs what is queued: syncs, above all.
    func settle() { workers.runPending() }

    /// Appends and waits until the records are durable.
    @discardableResult
    func store(_ values: [String], in partition: Partition) async throws -> Offset {
        let offset = try partition.append(batch(values))
        settle()
        try await partition.durable(before: offset + values.count)
        return offset
    }

    /// A partition whose only segment holds `bytes`, with nothing else known about it.
    func open(with bytes: [UInt8]) throws -> Partition {
        try disk.createDirectory(directory)
        disk.setContent(path(0), bytes)
        return try open()
    }

    /// The same directory opened by the next run of the program. `LogError`s only.
    func reopen() throws(LogError) -> Partition {
        try Partition.open(
            directory, disk: disk, time: time, workers: workers, options: options,
            progress: { _ in }
        )
    }

    /// `count` durable records of one batch each, then a clean stop or none.
    static func filled(
        segmentBytes: Int64, count: Int, isClean: Bool = true
    ) async throws -> Bench {
        var bench = Bench()
        bench.options.segmentBytes = segmentBytes
        let partition = try bench.open()
        for index in 0..<count { try await bench.store(["value \(index)"], in: partition) }
        if isClean { try partition.close() }
        bench.disk.kill()
        return bench
    }

    /// Base offsets of the segment files, in order.
    func bases() throws -> [Int] {
        try disk.list(directory).filter { $0.hasSuffix(".log") && $0.count == 24 }
            .compactMap { Int($0.dropLast(4)) }.sorted()
    }

    func path(_ base: Int, _ suffix: String = ".log") -> String {
        let digits = String(base)
        return directory + "/" + String(repeating: "0", count: 20 - digits.count) + digits + suffix
    }
}

func batch(_ values: [String], timestamp: Int64 = 1_700_000_000_000) -> RecordBatchBuilder {
    var builder = RecordBatchBuilder()
    for value in values {
        let bytes = Array(value.utf8)
        builder.append(timestamp: timestamp, key: nil, value: bytes.span)
    }
    return builder
}

extension Partition {
    /// Offsets and values (a tombstone's: empty) of all records from `offset` on, below
    /// the high watermark.
    func values(from offset: Int64 = 0, maxBytes: Int = 1 << 20) async throws -> [Int64: String] {
        var found: [Int64: String] = [:]
        var next = Offset(max(offset, logStart.value))
        while next < highWatermark {
            var reader = RecordBatchReader(try await read(from: next, maxBytes: maxBytes))
            let before = next
            while let record = try reader.next() {
                guard record.offset >= next else { continue }
                let value = record.value.map { String(decoding: reader.bytes[$0], as: UTF8.self) }
                found[record.offset.value] = value ?? ""
                next = record.offset + 1
            }
            guard before < next else {
                Issue.record("a read at \(next.value) brought nothing")
                break
            }
        }
        return found
    }
}

/// What a fault plan saw.
final class Counter: Sendable {
    private let state = Mutex((paths: [String](), bytes: Int64(0)))

    var paths: [String] { state.withLock { $0.paths } }
    var bytes: Int64 { state.withLock { $0.bytes } }
    func add(_ path: String) { state.withLock { $0.paths.append(path) } }
    func add(bytes: Int64) { state.withLock { $0.bytes += bytes } }
}

extension SimulatedDisk {
    /// Every operation from this one on fails, as for a program that has ended: its state is left.
    func failAll(from first: Int, _ fault: Fault = .inputOutput) {
        inject { _, _, number in number >= first ? fault : nil }
    }
}
