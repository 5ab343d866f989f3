import Platform

/// Letting go of old records. The order is always: make the new log start durable in the
/// checkpoint, change the state, remove files. A crash in between leaves files that the next open
/// removes.
///
/// A segment's age is counted on the monotonic clock from its last append, while a program has the
/// partition open; it is kept in the checkpoint over restarts. Neither timestamps of records, nor
/// the wall clock, nor a file's times have a say, and time while nothing ran does not count.
extension Partition {
    /// Moves the log start up, durably, and lets go of segments wholly before it. Returns the log
    /// start; `.offsetOutOfRange` past the high watermark.
    package func deleteRecords(before offset: Offset) async throws(LogError) -> Offset {
        let result = await workers.value {
            Result { () throws(LogError) in try self.moveLogStart(to: offset.value) }
        }
        return try result.get()
    }

    /// Deletes segments past the limits of the options, by bytes and by age since their last
    /// append.
    package func enforceRetention() async throws(LogError) {
        let result = await workers.value {
            Result { () throws(LogError) in try self.retain() }
        }
        try result.get()
    }

    private func moveLogStart(to offset: Int64) throws(LogError) -> Offset {
        let present = try state.withLock { state throws(LogError) in
            try state.checkWritable()
            guard offset <= state.durable.offset else {
                throw .offsetOutOfRange(latest: Offset(state.durable.offset))
            }
            return state.logStart
        }
        guard offset > present else { return Offset(present) }
        do throws(DiskError) {
            do throws(DiskError) { try storeCheckpoint(logStart: offset) } catch {
                guard error.isStorageFull else { throw error }
                // Indexes can be made anew, should they be needed after all.
                makeRoom(before: offset)
                try storeCheckpoint(logStart: offset)
            }
        } catch {
            throw error.isStorageFull ? .storageFull : .disk(error)
        }
        swapping.withLock { _ in removeFiles(of: dropSegments()) }
        return logStart
    }

    private func retain() throws(LogError) {
        let isWritable = state.withLock { state in
            if case .open = state.status { return true }
            return false
        }
        guard isWritable else { return }
        expireIdentities()
        do { try rollIfExpired() } catch {
            // What can go without a new segment makes room for one.
            guard case .storageFull = error else { throw error }
        }
        let start = expiredEnd()
        if start > logStart.value {
            _ = try moveLogStart(to: start)
        } else {
            try saveAges()
        }
    }

    /// With no space for the draft of a checkpoint: removes the indexes of segments that are to go.
    private func makeRoom(before offset: Int64) {
        let bases = state.withLock { Array($0.segments.prefix($0.goingCount(below: offset))) }
            .map(\.base)
        removeFiles(of: bases, [SegmentName.index, SegmentName.timeIndex])
    }

    /// An active segment whose first record is past its age gets a successor, so that it can go.
    private func rollIfExpired() throws(LogError) {
        let now = time.now()
        let hasRolled = try state.withLock { state throws(LogError) in
            guard let limit = state.options.retentionMs, case .open = state.status,
                let active = state.segments.last, active.byteCount > 0,
                state.durable.offset == state.end,
                active.idleMilliseconds(now) > limit
                    || (now - (active.firstAppend ?? now)).wholeMilliseconds > limit
            else { return false }
            try roll(&state)
            state.isSyncScheduled = true
            return true
        }
        if hasRolled { syncRounds() }
    }

    /// The base offset of the first segment that stays. Only what is durable can go, and never the
    /// active segment.
    private func expiredEnd() -> Int64 {
        let now = time.now()
        return state.withLock { state in
            var excess = state.options.retentionBytes.map { limit in
                state.segments.reduce(0) { $0 &+ $1.byteCount } - limit
            }
            var index = 0
            while index + 1 < state.segments.count,
                state.segments[index + 1].base <= state.durable.segment
            {
                let segment = state.segments[index]
                let isOld = state.options.retentionMs.map { segment.idleMilliseconds(now) > $0 }
                let isTooMuch = excess.map { $0 >= segment.byteCount && $0 > 0 }
                guard isOld == true || isTooMuch == true else { break }
                excess? -= segment.byteCount
                index += 1
            }
            return index == 0 ? state.logStart : state.segments[index].base
        }
    }

    /// Writes ages down now and then, so that a crash makes segments only a little younger.
    private func saveAges() throws(LogError) {
        let now = time.now()
        let isDue = state.withLock { state in
            guard let limit = state.options.retentionMs else { return false }
            let interval = max(Limits.ageCheckpointInterval, limit / 100)
            return state.segments.count > 1
                && (now - state.agesSavedAt).wholeMilliseconds >= interval
        }
        guard isDue else { return }
        do throws(DiskError) {
            try storeCheckpoint()
        } catch {
            throw error.isStorageFull ? .storageFull : .disk(error)
        }
    }

    /// Takes segments wholly before the log start out of the state; returns their base offsets. The
    /// one the high watermark is in stays: recovery begins there, and what follows may not be
    /// durable.
    private func dropSegments() -> [Int64] {
        state.withLock { state in
            let count = state.goingCount(below: state.logStart)
            let dropped = state.segments.prefix(count).map(\.base)
            state.segments.removeFirst(count)
            return dropped
        }
    }

    /// Removes files no one can find any more. Who reads one still holds it.
    private func removeFiles(of bases: [Int64], _ suffixes: [String] = SegmentName.all) {
        for base in bases {
            for suffix in suffixes {
                do throws(DiskError) {
                    try disk.remove(path(base, suffix))
                } catch {
                    // What stays is removed when the partition is next opened.
                }
            }
        }
    }
}
