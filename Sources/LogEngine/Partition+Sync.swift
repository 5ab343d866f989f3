import Platform

/// Group commit: one sync serves every batch that is written when it starts.
extension Partition {
    /// Returns once every record in front of `offset` is durable.
    package func durable(before offset: Offset) async throws(LogError) {
        while true {
            if try isDurable(before: offset.value) { return }
            let isDone = await Suspension.wait { suspension in
                let (mustWait, sync) = state.withLock { state in
                    guard case .open = state.status, state.durable.offset < offset.value else {
                        return (false, PartitionState.SyncStart.none)
                    }
                    state.waiters.add(suspension, for: offset.value)
                    return (true, state.hastenSync())
                }
                start(sync)
                if !mustWait { suspension.resume(false) }
            }
            if isDone { return }
        }
    }

    private func isDurable(before offset: Int64) throws(LogError) -> Bool {
        try state.withLock { state throws(LogError) in
            if state.durable.offset >= offset { return true }
            try state.checkWritable()
            guard offset <= state.end else { throw .offsetOutOfRange(latest: Offset(state.end)) }
            return false
        }
    }

    /// What one sync makes durable.
    private struct SyncPlan {
        var mark: LogMark
        var files: [any DiskFile]
        /// Of the same segments, as they are at the mark.
        var chains: [SegmentChain]
        var hasRolled: Bool
        /// Where segments have rolled, of the batches before the mark.
        var producers: ProducerSnapshot?
        var start: Instant
    }

    /// Has a worker sync, if it is due: now, or a moment later where nobody waits.
    func start(_ sync: PartitionState.SyncStart) {
        switch sync {
        case .none: break
        case .now: workers.run { self.syncRounds() }
        case .later:
            workers.runSoon {
                if self.state.withLock({ $0.hastenSync() }) == .now { self.syncRounds() }
            }
        }
    }

    /// Runs on a worker: syncs until nothing is left that somebody waits for, or queues again after
    /// some rounds. What nobody waits for is synced a moment later, with what comes until then.
    func syncRounds() {
        for round in 0..<Limits.syncRounds {
            let mayDefer = round > 0
            if mayDefer, state.withLock({ $0.deferSync() }) { return start(.later) }
            if let pause = state.withLock({ $0.gatheringPause }) { pauseThread(for: pause) }
            guard syncing.withLock({ _ in syncOnce() }) else { return }
        }
        workers.run { self.syncRounds() }
    }

    /// One round, on a worker that holds `syncing`. False when nothing was left to sync.
    ///
    /// The order makes the high watermark honest: data of sealed segments, data of the active one,
    /// the directory entries, the checkpoint that moves the recovery point; then the chain's mark,
    /// which says that all this is done, and those who wait.
    func syncOnce() -> Bool {
        revokeVouch()
        storeOwedChain()
        guard let plan = planSync() else { return false }
        do throws(DiskError) {
            for file in plan.files { try file.sync() }
        } catch {
            // Never retried: after a failed sync the kernel may call the pages clean.
            let mayTakeBack = state.withLock { state in
                // Where the scrubber came first, it has moved the durable end below what is.
                guard case .open = state.status else { return false }
                state.status = .failed("\(error)")
                return true
            }
            if mayTakeBack { takeBackUnsynced() }
            settle(failing: "\(error)")
            return false
        }
        do throws(DiskError) {
            if plan.hasRolled {
                try sealChains(plan.chains, active: plan.mark.segment)
                try disk.syncDirectory(directory)
                if let producers = plan.producers { store(producers) }
                noteIndexChecksums(before: plan.mark.segment)
                try moveRecoveryPoint(to: plan.mark.segment)
            }
        } catch {
            guard error.isPassing, state.withLock({ $0.mayTrySyncAgain() }) else {
                settle(failing: "\(error)")
                return false
            }
            // The data is synced, and nobody is told before the rest is: in the next round.
            pauseThread(for: Limits.passingPause)
            return true
        }
        state.withLock { $0.passingFailures = 0 }
        if !plan.hasRolled, let chain = plan.chains.last { store(chain) }
        settle(plan.mark, since: plan.start)
        if plan.hasRolled { writeSealedIndexes() }
        return true
    }

    /// With writing ended: cuts off what is not durable. The cache would go on showing it, a sync
    /// by the next run would succeed, and what readers then saw would be gone after a power cut.
    private func takeBackUnsynced() {
        let ends: [(file: (any DiskFile)?, byteCount: Int64)] = state.withLock { state in
            let first = state.segmentIndex(holding: state.durable.segment)
            return state.segments.indices[first...].map {
                (state.segments[$0].file, state.readableEnd($0))
            }
        }
        for end in ends.reversed() {
            do throws(DiskError) {
                try end.file?.truncate(to: end.byteCount)
            } catch {
                // The failure is told already; the next run then scans what the cache shows.
            }
        }
    }

    /// Where there was no space for it when the partition was opened.
    private func revokeVouch() {
        guard state.withLock({ $0.mustRevokeVouch }) else { return }
        do throws(DiskError) {
            try storeCheckpoint()
            state.withLock { $0.mustRevokeVouch = false }
        } catch {
            // Still no space, and nothing may be written; the next append asks again.
        }
    }

    /// The same of the active segment's chain, which nothing is appended to meanwhile.
    private func storeOwedChain() {
        let owed = state.withLock { $0.owesChain ? $0.segments.last?.chain : nil }
        guard let owed else { return }
        do throws(DiskError) {
            try ChainFile.begin(owed, disk, directory)
            try ChainFile.store(owed, disk, directory, isLast: true)
            try disk.syncDirectory(directory)
            settle(owed)
            state.withLock { $0.owesChain = false }
        } catch {
            // Where there is still no space, the next append asks again.
            if !error.isStorageFull { state.withLock { $0.status = .failed("\(error)") } }
        }
    }

    private func planSync() -> SyncPlan? {
        let now = time.now()
        let (plan, mustTell): (SyncPlan?, Bool) = state.withLock { state in
            guard case .open = state.status else {
                state.isSyncScheduled = false
                return (nil, true)
            }
            guard state.end > state.durable.offset || state.isDirectoryDirty else {
                state.isSyncScheduled = false
                return (nil, false)
            }
            let first = state.segmentIndex(holding: state.durable.segment)
            let active = state.segments.count - 1
            // A roll puts the end of one segment and the beginning of the next in one sync.
            for index in state.segments.indices[first...]
            where state.segments[index].byteCount > state.readableEnd(index) {
                state.segments[index].noteAppend(now)
            }
            let hasRolled = state.isDirectoryDirty
            state.isDirectoryDirty = false
            let mark = LogMark(
                offset: state.end, segment: state.segments[active].base,
                position: state.segments[active].byteCount)
            let plan = SyncPlan(
                mark: mark, files: state.segments[first...].compactMap(\.file),
                chains: state.segments[first...].compactMap(\.chain), hasRolled: hasRolled,
                producers: hasRolled ? state.producerSnapshot() : nil, start: now)
            return (plan, false)
        }
        if mustTell { tellAll() }
        return plan
    }

    /// Without space for a checkpoint the old one stays: recovery then scans more than it must.
    private func moveRecoveryPoint(to base: Int64) throws(DiskError) {
        do throws(DiskError) {
            try storeCheckpoint(recoveryPoint: base)
        } catch {
            guard error.isStorageFull else { throw error }
        }
    }

    /// Advances the high watermark and resumes those who waited for it.
    private func settle(_ mark: LogMark, since start: Instant) {
        let took = time.now() - start
        let (settled, woken): ([Suspension], [Wakeup]) = state.withLock { state in
            state.statistics.syncCount &+= 1
            state.statistics.syncNanoseconds &+= UInt64(
                max(0, took.components.attoseconds / 1_000_000_000)
                    + max(0, took.components.seconds) * 1_000_000_000)
            // The scrubber may have found damage meanwhile; then those who wait hear of that.
            guard case .open = state.status else { return ([], []) }
            let hasAdvanced = mark.offset > state.durable.offset
            state.durable = mark
            guard hasAdvanced else { return ([], []) }
            state.marks.insert(mark)
            let settled = state.waiters.settle(upTo: mark.offset)
            state.lastSettled = (settled.count, took)
            return (settled, state.watchers.advance(to: mark.offset))
        }
        for suspension in settled { suspension.resume(true) }
        for wakeup in woken { wakeup.wake() }
    }

    private func settle(failing words: String) {
        state.withLock { state in
            if case .open = state.status { state.status = .failed(words) }
            state.isSyncScheduled = false
        }
        tellAll()
    }

    /// Resumes and wakes everyone: the partition takes no more writes, and `status` says why.
    func tellAll() {
        let (settled, woken, failure) = state.withLock { state in
            var failure: String?
            if case .failed(let words) = state.status, !state.hasToldFailure {
                state.hasToldFailure = true
                failure = words
            }
            return (state.waiters.settle(upTo: .max), state.watchers.all, failure)
        }
        if let failure { onFailure(failure) }
        for suspension in settled { suspension.resume(false) }
        for wakeup in woken { wakeup.wake() }
    }
}
