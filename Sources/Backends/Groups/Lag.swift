import LogEngine
package import Platform

/// How far a group is behind in one partition.
package struct Lag: Equatable, Sendable {
    /// The offset behind the last record a consumer can see: the high watermark.
    package var endOffset: Offset
    /// Records not yet processed that are still there: what was trimmed does not count (pitfall
    /// 49).
    package var records: Int64
    /// Age of the first of them by its timestamp; 0 where there is none.
    package var milliseconds: Int64

    package init(endOffset: Offset, records: Int64, milliseconds: Int64) {
        self.endOffset = endOffset
        self.records = records
        self.milliseconds = milliseconds
    }

    /// Of a consumer that has committed `committed`, by what is there now. Reads one batch where
    /// the lag is not zero.
    package static func measure(
        _ topic: any Topic, _ partition: Int, committed: Offset, time: any TimeSource
    ) async throws(BackendError) -> Lag {
        let bounds = try topic.bounds(partition)
        let first = max(committed, bounds.logStart)
        guard first < bounds.highWatermark else {
            // Whether that is the end: one that failed may not show all that was acknowledged.
            _ = try topic.readNow(partition, from: bounds.highWatermark, maxBytes: 1)
            return Lag(endOffset: bounds.highWatermark, records: 0, milliseconds: 0)
        }
        var lag = Lag(
            endOffset: bounds.highWatermark,
            records: bounds.highWatermark.value - first.value, milliseconds: 0)
        do {
            let fetched = try await topic.read(partition, from: first, maxBytes: 1)
            if let timestamp = try timestamp(in: fetched.batches, atOrAfter: first) {
                let age = time.wallMilliseconds().subtractingReportingOverflow(timestamp)
                lag.milliseconds = age.overflow ? 0 : max(0, age.partialValue)
            }
        } catch {
            // Trimmed since the bounds were read: look again from the new start.
            guard case .offsetTrimmed(let earliest) = error, earliest > first else { throw error }
            return try await measure(topic, partition, committed: earliest, time: time)
        }
        return lag
    }

    private static func timestamp(
        in batches: [UInt8], atOrAfter offset: Offset
    ) throws(BackendError) -> Int64? {
        var reader = RecordBatchReader(batches)
        do {
            while let record = try reader.next() {
                if record.offset >= offset { return record.timestamp }
            }
        } catch { throw BackendError(error) }
        return nil
    }
}
