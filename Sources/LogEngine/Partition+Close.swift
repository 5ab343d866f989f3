import Platform

extension Partition {
    /// Syncs, writes indexes and vouches for the files; calls then throw `.closed`.
    ///
    /// A partition that failed or is damaged is left as it is: the next open looks at every byte.
    package func close() throws(LogError) {
        defer { abandon() }
        // Appends end here; what waits for the disk is still served.
        state.withLock { $0.isClosing = true }
        quiesce()
        let error: DiskError? = syncing.withLock { _ in
            while syncOnce() {}
            return vouch()
        }
        if let words = failureToClose() { throw .failed(words) }
        if let error { throw error.isStorageFull ? .storageFull : .disk(error) }
    }

    /// Closes without vouching, for a topic that is being deleted; the caller removes the
    /// directory.
    package func abandon() {
        state.withLock { $0.status = .closed }
        tellAll()
    }

    /// Returns when compaction of a partition that is closed, or is being closed, changes no more
    /// files. Blocks; for workers.
    package func quiesce() { swapping.withLock { _ in } }

    private func failureToClose() -> String? {
        state.withLock { state in
            if case .failed(let words) = state.status { return words }
            return nil
        }
    }

    /// With everything synced and `syncing` held: says that all is well, if it is.
    private func vouch() -> DiskError? {
        let active: Segment? = state.withLock { state in
            guard case .open = state.status, state.durable.offset == state.end else { return nil }
            return state.segments.last
        }
        guard let active else { return nil }
        storeProducers(before: logEnd.value)
        if let indexes = active.indexes {
            note(indexes.checksum, of: active)
            indexes.store(disk, directory, active.base)
        }
        do throws(DiskError) {
            try storeCheckpoint(isClean: true)
            return nil
        } catch {
            return error
        }
    }
}
