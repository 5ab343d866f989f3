import Platform

/// What a second try of a produce meets: the table of producers and keys, under the same lock as
/// the log's end.
extension Partition {
    /// The batch of the request with that key; nil where none is remembered.
    package func trace(ofKey id: Int64) -> KeyTrace? {
        state.withLock { $0.producers.keys.isEmpty ? nil : $0.producers.trace(ofKey: id) }
    }

    /// How many producers and keys are remembered.
    package var identityCounts: (producers: Int, keys: Int) {
        state.withLock { ($0.producers.producerCount, $0.producers.keyCount) }
    }

    /// Forgets producers and keys that have not been heard of for long.
    package func expireIdentities() {
        let now = time.now()
        state.withLock { if !$0.producers.isEmpty { $0.producers.expire(now: now) } }
    }

    /// Stores what is known of batches before `offset`, which are durable; nothing where nobody
    /// has sent an identity yet. That it cannot be stored is no error: the log says the same.
    func storeProducers(before offset: Int64) {
        let now = time.now()
        let table: ProducerTable? = state.withLock { state in
            guard !state.producers.isEmpty || state.hasProducers else { return nil }
            state.hasProducers = true
            return state.producers
        }
        guard let table else { return }
        do throws(DiskError) {
            try ProducerSnapshot(nextOffset: offset, table: table.durable(before: offset))
                .store(disk, directory, now: now)
        } catch {
            // The one before stays, or none: then more of the log is read at the next start.
        }
    }
}

extension PartitionState {
    /// The offset of a batch that is there already; nil where it is to be appended.
    func judge(_ rules: AppendRules, recordCount: Int) throws(LogError) -> Offset? {
        if let identity = rules.identity {
            do {
                let verdict = try producers.judge(
                    identity, recordCount: recordCount, isRetry: rules.isRetry)
                if case .duplicate(let offset) = verdict { return offset }
            } catch { throw .identity(error) }
        }
        if let wanted = rules.endOffset, wanted.value != end {
            throw .endOffsetMismatch(Offset(end))
        }
        return nil
    }
}
