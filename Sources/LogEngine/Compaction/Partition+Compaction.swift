import Platform

/// What compaction is given by whoever runs it.
package struct CompactionSettings: Sendable {
    /// With a secret of this run of the program.
    package var hash: KeyHash
    package var mapByteCount = Limits.offsetMapBytes
    package var bytesPerSecond = Limits.compactionBytesPerSecond

    package init(hash: KeyHash) { self.hash = hash }
}

/// Compaction (Kafka's log cleaner): of each key only the latest record stays.
///
/// A pass reads what no pass has read, from the first such offset on, and notes the latest offset
/// of each key in a map of bounded size; where the map is full the pass ends there. Then it writes
/// every segment from the log start to that offset again without the records that a noted one
/// overrules, small ones together, and puts each in place (`SegmentSwap`). Offsets stay what they
/// were. Only closed segments below the high watermark take part.
///
/// A tombstone stays until `deleteRetentionMs` have passed since the pass that removed what it
/// ended: by then every reader that saw the old value can have seen its end. The time is counted on
/// the monotonic clock and kept over restarts.
extension Partition {
    /// Compacts what is due: when half of the closed bytes are not yet compacted, or tombstones
    /// have stood for their time. One call at a time; another returns at once.
    ///
    /// Throws `.damaged` where a closed segment is not as it was written, and from then on does
    /// nothing until the partition is opened anew: what is left of damage is not to be rewritten.
    package func compact(_ settings: CompactionSettings) async throws(LogError) {
        let result = await workers.value {
            Result { () throws(LogError) in try self.compactNow(settings) }
        }
        try result.get()
    }

    private func compactNow(_ settings: CompactionSettings) throws(LogError) {
        let mayBegin = state.withLock { state in
            guard state.mayCompact, !state.isCompacting, state.compactionFailure == nil else {
                return false
            }
            state.isCompacting = true
            return true
        }
        guard mayBegin else { return }
        defer { state.withLock { $0.isCompacting = false } }
        do throws(LogError) {
            while let plan = planCompaction() {
                var pass = CompactionPass(self, plan, settings)
                try pass.run()
                try remember(pass.outcome)
            }
            try saveCompactionAges()
        } catch {
            switch error {
            case .closed: return
            case .damaged, .failed:
                state.withLock { $0.compactionFailure = "\(error)" }
                throw error
            case .storageFull, .disk, .offsetTrimmed, .offsetOutOfRange, .recordTooLarge,
                .recordWithoutKey, .identity, .endOffsetMismatch:
                throw error
            }
        }
    }

    /// nil where nothing is due.
    private func planCompaction() -> CompactionPlan? {
        let now = time.now()
        let (known, openedAt) = state.withLock { ($0.compaction, $0.openedAt) }
        let loaded = known ?? CompactionState.load(disk, directory, openedAt: openedAt)
        return state.withLock { state in
            guard state.mayCompact else { return nil }
            var compaction = loaded
            compaction.expire(after: state.options.deleteRetentionMs, now: now)
            state.compaction = compaction
            let plan = CompactionPlan(state, compaction)
            return plan.isDue ? plan : nil
        }
    }

    private func remember(_ outcome: CompactionPass.Outcome) throws(LogError) {
        let now = time.now()
        var compaction = state.withLock { state in
            state.statistics.compactionPassCount &+= 1
            state.statistics.compactionReadBytes &+= UInt64(outcome.readByteCount)
            // A compressed batch can grow by what goes from it.
            state.statistics.compactionRemovedBytes &+= UInt64(max(0, outcome.removedByteCount))
            return state.compaction ?? CompactionState(now: now)
        }
        compaction.cleanedBefore = outcome.end
        compaction.firstTombstone = outcome.firstTombstone
        compaction.holdsProducers = outcome.holdsProducers
        compaction.add(passBefore: outcome.end, now: now)
        try store(compaction)
    }

    /// Writes down now and then how long tombstones have stood.
    private func saveCompactionAges() throws(LogError) {
        let now = time.now()
        let due: CompactionState? = state.withLock { state in
            guard let compaction = state.compaction, compaction.isCounting else { return nil }
            let interval = max(
                Limits.ageCheckpointInterval, state.options.deleteRetentionMs / 100)
            return (now - compaction.savedAt).wholeMilliseconds >= interval ? compaction : nil
        }
        if let due { try store(due) }
    }

    private func store(_ compaction: CompactionState) throws(LogError) {
        var compaction = compaction
        let error: LogError? = swapping.withLock { _ in
            guard state.withLock({ $0.mayCompact }) else { return .closed }
            do throws(DiskError) {
                try compaction.store(disk, directory, now: time.now())
                return nil
            } catch {
                return error.isStorageFull ? .storageFull : .disk(error)
            }
        }
        if let error { throw error }
        state.withLock { $0.compaction = compaction }
    }
}

extension PartitionState {
    var mayCompact: Bool {
        guard case .open = status else { return false }
        return options.isCompacted && !isClosing && !mustRevokeVouch
    }
}

/// What a pass works on.
struct CompactionPlan: Sendable {
    /// A closed segment, and the base offset of the next.
    struct Input: Sendable {
        var segment: Segment
        var end: Int64
    }

    var inputs: [Input] = []
    var logStart: Int64
    /// Before this offset no two records have the same key.
    var dirtyStart: Int64
    var compaction: CompactionState
    var segmentBytes: Int64

    init(_ state: PartitionState, _ compaction: CompactionState) {
        logStart = state.logStart
        dirtyStart = max(state.logStart, compaction.cleanedBefore)
        self.compaction = compaction
        segmentBytes = min(state.options.segmentBytes, Limits.segmentBytes)
        for index in state.segments.indices.dropLast() {
            let end = state.segments[index + 1].base
            guard end <= state.durable.segment else { break }
            inputs.append(Input(segment: state.segments[index], end: end))
        }
    }

    var isDue: Bool {
        guard !inputs.isEmpty else { return false }
        if compaction.hasExpiredTombstone { return true }
        let total = inputs.reduce(0) { $0 &+ $1.segment.byteCount }
        let dirty = inputs.reduce(0) {
            $1.end > dirtyStart ? $0 &+ $1.segment.byteCount : $0
        }
        return dirty > total / 100 * Limits.cleanableDirtyPercent
    }

    /// The segments that begin before `end`, in groups that each become one: no larger than a
    /// segment may be, and no farther from its base to its last offset than an index can say.
    func groups(before end: Int64) -> [[Input]] {
        var groups: [[Input]] = []
        var byteCount: Int64 = 0
        for input in inputs where input.segment.base < end {
            byteCount += input.segment.byteCount
            if let first = groups.last?.first, byteCount <= segmentBytes,
                input.end - 1 - first.segment.base <= Int64(Int32.max)
            {
                groups[groups.count - 1].append(input)
            } else {
                groups.append([input])
                byteCount = input.segment.byteCount
            }
        }
        return groups
    }
}
