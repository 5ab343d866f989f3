import LogEngine
import Platform
import TestSupport
import Testing

/// A partition over a simulated disk and manual time. Jobs run when the test says so: `settle`.
struct Bench {
    let disk = SimulatedDisk()
    let time = ManualTime()
    let workers = WorkerPool(name: "test", limit: 0)
    let directory = "/data/0"
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
    /// Offsets and values of all records from `offset` on, below the high watermark.
    func values(from offset: Int64 = 0, maxBytes: Int = 1 << 20) async throws -> [Int64: String] {
        var found: [Int64: String] = [:]
        var next = Offset(max(offset, logStart.value))
        while next < highWatermark {
            var reader = RecordBatchReader(try await read(from: next, maxBytes: maxBytes))
            let before = next
            while let record = try reader.next() {
                guard record.offset >= next else { continue }
                let value = record.value.map { String(decoding: reader.bytes[$0], as: UTF8.self) }
                found[record.offset.value] = value
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
