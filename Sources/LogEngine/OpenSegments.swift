import Synchronization

/// Keeps the descriptors and indexes of closed segments within a budget, for all partitions
/// together. Who reads a file holds it: letting go of one closes it when its last reader is done.
///
/// When there are too many, the one opened longest ago goes, unless it was read since: then it has
/// another turn.
package final class OpenSegments: Sendable {
    private struct Entry {
        weak var partition: Partition?
        var base: Int64
        var generation: Int
        var indexByteCount: Int
    }

    private struct State {
        /// The one opened longest ago at `first`; in front of it are those let go.
        var entries: [Entry] = []
        var first = 0
        var indexByteCount = 0

        var count: Int { entries.count - first }

        mutating func takeFirst() -> Entry {
            let entry = entries[first]
            first += 1
            indexByteCount -= entry.indexByteCount
            if first > 64, first * 2 > entries.count {
                entries.removeFirst(first)
                first = 0
            }
            return entry
        }

        mutating func append(_ entry: Entry) {
            entries.append(entry)
            indexByteCount += entry.indexByteCount
        }
    }

    private let state = Mutex(State())
    private let fileLimit: Int
    private let indexByteLimit: Int

    /// At most `fileLimit` files, at least 1, and about `indexByteLimit` bytes of their indexes.
    package init(
        fileLimit: Int = Limits.openSealedSegments, indexByteLimit: Int = Limits.openIndexBytes
    ) {
        self.fileLimit = max(1, fileLimit)
        self.indexByteLimit = indexByteLimit
    }

    /// How many are counted as open, and the bytes of their indexes.
    package var figures: (fileCount: Int, indexByteCount: Int) {
        state.withLock { ($0.count, $0.indexByteCount) }
    }

    /// Counts a segment that was opened, and lets go of others where there are too many.
    func add(_ partition: Partition, _ segment: Segment, _ indexes: SegmentIndexes?) {
        let entry = Entry(
            partition: partition, base: segment.base, generation: segment.generation,
            indexByteCount: indexes?.memoryByteCount ?? 0)
        state.withLock { $0.append(entry) }
        // Each has one more turn at most.
        var turns = 2 * state.withLock { $0.count }
        while let oldest = takeExcess() {
            turns -= 1
            let isKept = oldest.partition?.letGo(
                oldest.base, oldest.generation, unlessReadSince: turns > 0)
            if isKept == true { state.withLock { $0.append(oldest) } }
        }
    }

    private func takeExcess() -> Entry? {
        state.withLock { state in
            let isOver = state.count > fileLimit || state.indexByteCount > indexByteLimit
            return isOver && state.count > 1 ? state.takeFirst() : nil
        }
    }
}

extension Partition {
    /// Closes a segment's file and forgets its indexes; true where it stays, because it was read.
    func letGo(_ base: Int64, _ generation: Int, unlessReadSince mayStay: Bool) -> Bool {
        state.withLock { state in
            guard let index = state.segmentIndex(base: base), base < state.durable.segment,
                state.segments[index].generation == generation, state.segments[index].isInPlace
            else { return false }
            if mayStay, state.segments[index].isRead {
                state.segments[index].isRead = false
                return true
            }
            state.segments[index].file = nil
            state.segments[index].indexes = nil
            state.segments[index].isCounted = false
            return false
        }
    }
}
