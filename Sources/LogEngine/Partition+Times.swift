import Platform

/// Finding offsets by timestamp. Timestamps are the clients', in any order.
extension Partition {
    /// The first offset below the high watermark whose timestamp is at or after `timestamp`; the
    /// high watermark if there is none.
    package func offset(atOrAfter timestamp: Int64) async throws(LogError) -> Offset {
        let result = await workers.value {
            Result { () throws(LogError) in try self.find(atOrAfter: timestamp) }
        }
        return try result.get()
    }

    /// Where to look: base offsets of segments, as they were at one moment.
    private struct Search {
        var segments: [Int64]
        var logStart: Int64
        var highWatermark: Int64
    }

    private func find(atOrAfter timestamp: Int64) throws(LogError) -> Offset {
        let search = try state.withLock { state throws(LogError) in
            if case .closed = state.status { throw .closed }
            let segments = state.segments.indices.compactMap { index in
                let segment = state.segments[index]
                let isWanted = state.readableEnd(index) > 0 && segment.maxTimestamp >= timestamp
                return isWanted ? segment.base : nil
            }
            return Search(
                segments: segments, logStart: state.logStart,
                highWatermark: state.durable.offset)
        }
        for base in search.segments {
            guard let segment = try openSegment(base) else {
                // Deleted, or made one with those before it: look again.
                return try find(atOrAfter: timestamp)
            }
            let found: Int64?
            do throws(LogError) {
                found = try find(timestamp, in: segment, base, search)
            } catch {
                // The index may be what is damaged.
                guard case .damaged = error, let anew = try openSegment(base, anew: true) else {
                    throw error
                }
                found = try find(timestamp, in: anew, base, search)
            }
            if let found { return Offset(found) }
        }
        return Offset(search.highWatermark)
    }

    private func find(
        _ timestamp: Int64, in segment: OpenSegment, _ base: Int64, _ search: Search
    ) throws(LogError) -> Int64? {
        let newest = segment.indexes.times.relativeOffset(before: timestamp)
        let start = segment.indexes.offsets.start(
            for: max(base + newest, search.logStart), base: base)
        var order = BatchOrder(start, gapsAllowedBefore: segment.gapsAllowedBefore)
        var position = start.position
        var window = ScanWindow(segment.file, byteCount: segment.end)
        while position < segment.end {
            do throws(DiskError) {
                guard try window.holds(RecordBatchHeader.byteCount, at: position) else { break }
            } catch { throw .disk(error) }
            guard
                let header = RecordBatchHeader(window.bytes.span, at: window.index(of: position))
            else { throw .damaged(at: Offset(base), "no batch at byte \(position)") }
            if let words = order.take(header) {
                throw .damaged(at: Offset(base), "the batch at byte \(position): \(words)")
            }
            if header.maxTimestamp >= timestamp, header.lastOffset >= search.logStart {
                let batch = try batch(header, &window, at: position)
                let found = try Self.first(atOrAfter: timestamp, in: batch, from: search.logStart)
                if let found { return found }
            }
            position += Int64(header.batchByteCount)
        }
        return nil
    }

    private func batch(
        _ header: RecordBatchHeader, _ window: inout ScanWindow, at position: Int64
    ) throws(LogError) -> [UInt8] {
        let isWhole: Bool
        do throws(DiskError) {
            isWhole = try window.holds(header.batchByteCount, at: position)
        } catch { throw .disk(error) }
        guard isWhole else { throw .damaged(at: Offset(header.baseOffset), "a batch is cut short") }
        var bytes: [UInt8] = []
        let start = window.index(of: position)
        bytes.append(window.bytes.span.extracting(start..<start + header.batchByteCount))
        return bytes
    }

    private static func first(
        atOrAfter timestamp: Int64, in batch: [UInt8], from logStart: Int64
    ) throws(LogError) -> Int64? {
        var reader = RecordBatchReader(batch)
        while let record = try reader.next() {
            if record.timestamp >= timestamp, record.offset.value >= logStart {
                return record.offset.value
            }
        }
        return nil
    }
}
