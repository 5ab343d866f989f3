import Backends
import JSON

/// What an NDJSON body has become so far.
struct LinesSummary {
    private(set) var recordCount = 0
    /// The first record that failed: its line, how many were appended before it, and why.
    private(set) var failure: (line: Int, before: Int, error: BackendError)?
    private var ranges: [Int: (first: Int64, last: Int64)] = [:]

    /// Counts records that were appended. `lines` are the line numbers of the outcome's records.
    mutating func add(_ outcome: ProduceOutcome, lines: [Int]) {
        if failure == nil, let (record, error) = outcome.firstFailure {
            failure = (lines[record], recordCount + record, error)
        }
        for batch in outcome.batches where batch.error == nil {
            recordCount += batch.recordCount
            guard let offset = batch.offset?.value else { continue }
            let last = offset &+ Int64(batch.recordCount - 1)
            let range = ranges[batch.partition] ?? (offset, last)
            ranges[batch.partition] = (min(range.first, offset), max(range.last, last))
        }
    }

    /// `{"recordCount":3,"partitions":[{"partition":0,"firstOffset":5,"lastOffset":7}]}`
    func document() -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("recordCount")
        writer.integer(Int64(recordCount))
        writer.name("partitions")
        writer.raw(partitions()[...])
        writer.endObject()
        return writer.bytes
    }

    private func partitions() -> [UInt8] {
        var writer = JSONWriter()
        writer.beginArray()
        for (partition, range) in ranges.sorted(by: { $0.key < $1.key }) {
            writer.beginObject()
            writer.name("partition")
            writer.integer(Int64(partition))
            writer.name("firstOffset")
            writer.integer(range.first)
            writer.name("lastOffset")
            writer.integer(range.last)
            writer.endObject()
        }
        writer.endArray()
        return writer.bytes
    }

    /// The problem that ended the body, with how many records were appended before it, and where
    /// all are that were. A batch that failed comes before a line that was bad behind it.
    func problem(_ refused: Problem?) -> Problem? {
        var problem = refused
        var before = recordCount
        if let failure {
            problem = Problem(failure.error)
            problem?.members.append(("line", .integer(Int64(failure.line))))
            before = failure.before
        }
        problem?.detail += " Records appended before: \(before)."
        if recordCount > before {
            problem?.detail +=
                " Of those behind, which were on their way, \(recordCount - before) were appended "
                + "as well; see `partitions`."
        }
        problem?.isPartial = recordCount > 0
        problem?.members.append(("recordCount", .integer(Int64(before))))
        problem?.members.append(("partitions", .raw(partitions())))
        return problem
    }
}
