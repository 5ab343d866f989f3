import LogEngine
import Platform
import Synchronization

/// The state log on the internal topic `__millrace_groups`: a shard is a partition.
///
/// A shard must not grow for ever, nor a start replay what no longer counts. One with much garbage
/// is cleaned at once, its active segment too, which the log's own compaction leaves alone: its
/// live records are written once more at the end, and its log start moves behind the old ones
/// (`EmbeddedStateLog+Cleaning.swift`).
package final class EmbeddedStateLog: StateLog {
    static let topicName = "__millrace_groups"

    struct ShardState {
        /// Keys appended since cleaning began; nil while it does not run.
        var touched: Set<[UInt8]>?
        /// Live records at the last cleaning.
        var liveCount = 0
        /// Records in the shard: what a replay reads.
        var recordCount = 0

        var mustBeCleaned: Bool { recordCount > liveCount * 2 + Limits.stateGarbageRecords }
    }

    /// Under its lock records get their order, so that cleaning can step in between.
    final class Shard: Sendable {
        let state = Mutex(ShardState())
    }

    private enum Source {
        case starting
        case open(EmbeddedTopic)
        case unavailable(String)
    }

    package let shardCount = Limits.stateShards
    let shards: [Shard]
    private let source = Mutex(Source.starting)
    private let time: any TimeSource
    /// Woken when a shard must be cleaned.
    let garbage: Wakeup

    init(time: any TimeSource, garbage: Wakeup) {
        self.time = time
        self.garbage = garbage
        shards = (0..<Limits.stateShards).map { _ in Shard() }
    }

    /// From here on the log can be used.
    func open(_ topic: EmbeddedTopic) {
        for (index, slot) in topic.slots.enumerated() where index < shardCount {
            guard case .open(let log) = slot else { continue }
            let bounds = log.bounds
            let recordCount = Int(bounds.logEnd.value &- bounds.logStart.value)
            shards[index].state.withLock { $0.recordCount = recordCount }
        }
        source.withLock { $0 = .open(topic) }
    }

    /// The state of all groups is out of reach; nothing may pass for it.
    func fail(_ reason: String) { source.withLock { $0 = .unavailable(reason) } }

    func partition(_ shard: Int) throws(BackendError) -> Partition {
        let topic: EmbeddedTopic = try source.withLock { (source) throws(BackendError) in
            switch source {
            case .starting: throw .notReady("recovering")
            case .open(let topic): return topic
            case .unavailable(let reason): throw .partitionFailed(reason)
            }
        }
        return try topic.partition(shard)
    }

    // MARK: - Append

    package func append(
        _ records: [StateRecord], to shard: Int
    ) throws(BackendError) -> StateTicket {
        let log = try partition(shard)
        guard !records.isEmpty else { return StateTicket(shard: shard, nextOffset: log.logEnd) }
        let batch = batch(of: records)
        let mustBeCleaned: Bool
        let ticket: StateTicket
        (ticket, mustBeCleaned) = try shards[shard].state.withLock { state throws(BackendError) in
            let base: Offset
            do throws(LogError) { base = try log.append(batch) } catch { throw BackendError(error) }
            state.recordCount += records.count
            if state.touched != nil { for record in records { state.touched?.insert(record.key) } }
            let ticket = StateTicket(shard: shard, nextOffset: base + records.count)
            return (ticket, state.touched == nil && state.mustBeCleaned)
        }
        if mustBeCleaned { garbage.wake() }
        return ticket
    }

    func batch(of records: [StateRecord]) -> RecordBatchBuilder {
        let now = time.wallMilliseconds()
        var batch = RecordBatchBuilder()
        for record in records {
            if let value = record.value {
                batch.append(timestamp: now, key: record.key.span, value: value.span)
            } else {
                batch.append(timestamp: now, key: record.key.span, value: nil)
            }
        }
        return batch
    }

    package func durable(_ ticket: StateTicket) async throws(BackendError) {
        let log = try partition(ticket.shard)
        do { try await log.durable(before: ticket.nextOffset) } catch { throw BackendError(error) }
    }

    // MARK: - Replay

    package func replay(
        _ shard: Int, _ body: ([StateRecord]) -> Void
    ) async throws(BackendError) {
        let log = try partition(shard)
        // What is left of a damaged one would pass for all there was.
        if let failure = log.failure { throw .partitionFailed(failure) }
        try await replay(log, upTo: log.highWatermark) { records in body(records.map(\.record)) }
    }

    /// Every record from the log start to `end`, with its offset.
    func replay(
        _ log: Partition, upTo end: Offset,
        _ body: ([(offset: Offset, record: StateRecord)]) -> Void
    ) async throws(BackendError) {
        var next = log.logStart
        while next < end {
            let batches: [UInt8]
            do { batches = try await log.read(from: next, maxBytes: Limits.stateReadBytes) } catch {
                throw BackendError(error)
            }
            // Holes and empty batches must neither end the loop too early nor keep it running: what
            // counts is where the batches end, not where their last record is.
            guard let after = endOffset(of: batches), after > next else {
                throw .damaged(at: next, "the state log ends before its high watermark")
            }
            body(try records(of: batches, in: next..<end))
            next = after
        }
    }

    private func records(
        of batches: [UInt8], in range: Range<Offset>
    ) throws(BackendError) -> [(offset: Offset, record: StateRecord)] {
        var reader = RecordBatchReader(batches)
        var records: [(offset: Offset, record: StateRecord)] = []
        do {
            while let record = try reader.next() {
                guard range.contains(record.offset), let key = record.key else { continue }
                let value = record.value.map { Array(reader.bytes[$0]) }
                let state = StateRecord(key: Array(reader.bytes[key]), value: value)
                records.append((record.offset, state))
            }
        } catch { throw BackendError(error) }
        return records
    }
}

/// The offset behind whole record batches: of the last one, baseOffset (at 0) and lastOffsetDelta
/// (at 23) of the 61-byte header, whose length (at 8) leads from one to the next.
private func endOffset(of batches: [UInt8]) -> Offset? {
    let bytes = batches.span
    var position = 0
    var end: Offset?
    while bytes.count - position >= 61 {
        let length = Int(bytes.int32(at: position + 8))
        let lastOffsetDelta = bytes.int32(at: position + 23)
        guard length >= 49, length <= bytes.count - position - 12, lastOffsetDelta >= 0 else {
            break
        }
        end = Offset(bytes.int64(at: position)) + Int(lastOffsetDelta) + 1
        position += 12 + length
    }
    return end
}
