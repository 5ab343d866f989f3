import LogEngine
import Platform

// How a shard loses its garbage, with appends going on:
//
//  1. The present end is noted, and from here on the keys of new records.
//  2. What is in front of the end is read; of each key the last record counts, one without a value
//     for nothing.
//  3. The live records are appended again, but for keys that got a new record meanwhile: that one
// is
//     behind the end, and would be overruled by an older one behind it.
//  4. All of that made durable, the log start moves to the end noted.
//
// A crash at any step leaves the old records, or both, or the new ones alone: each replays to the
// same state.
extension EmbeddedStateLog {
    /// Cleans the shards that need it; one that cannot be cleaned stays as it is.
    func clean() async throws(BackendError) {
        var failure: BackendError?
        for (index, shard) in shards.enumerated() {
            guard shard.state.withLock({ $0.mustBeCleaned }) else { continue }
            do { try await clean(index) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Cleans one shard whether it needs it or not. One cleaning of a shard at a time.
    package func clean(_ index: Int) async throws(BackendError) {
        let log = try partition(index)
        let shard = shards[index]
        let end = shard.state.withLock {
            $0.touched = []
            return log.logEnd
        }
        defer { shard.state.withLock { $0.touched = nil } }
        let live = try await liveRecords(of: log, before: end)
        let last = try append(live, to: log, shard)
        do {
            try await log.durable(before: last)
            _ = try await log.deleteRecords(before: end)
        } catch { throw BackendError(error) }
        shard.state.withLock {
            $0.liveCount = live.count
            $0.recordCount = Int(log.logEnd.value - end.value)
        }
    }

    /// The last record of each key that has a value, in the log's order.
    private func liveRecords(
        of log: Partition, before end: Offset
    ) async throws(BackendError) -> [StateRecord] {
        do { try await log.durable(before: end) } catch { throw BackendError(error) }
        var latest: [[UInt8]: (offset: Offset, value: [UInt8])] = [:]
        try await replay(log, upTo: end) { records in
            for (offset, record) in records {
                latest[record.key] = record.value.map { (offset, $0) }
            }
        }
        return latest.sorted { $0.value.offset < $1.value.offset }
            .map { StateRecord(key: $0.key, value: $0.value.value) }
    }

    /// Returns the offset behind all that was appended, and all that was there.
    private func append(
        _ live: [StateRecord], to log: Partition, _ shard: Shard
    ) throws(BackendError) -> Offset {
        var first = 0
        while first < live.count {
            let chunk = live[first..<min(first + Limits.stateCleaningBatch, live.count)]
            try shard.state.withLock { state throws(BackendError) in
                let records = chunk.filter { state.touched?.contains($0.key) != true }
                guard !records.isEmpty else { return }
                do throws(LogError) { _ = try log.append(batch(of: records)) } catch {
                    throw BackendError(error)
                }
                state.recordCount += records.count
            }
            first += chunk.count
        }
        return shard.state.withLock { _ in log.logEnd }
    }
}
