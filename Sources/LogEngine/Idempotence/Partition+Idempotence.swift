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

    /// Stores what is known of batches that are durable by now. That it cannot be stored is no
    /// error: the log says the same.
    func store(_ snapshot: ProducerSnapshot) {
        do throws(DiskError) {
            try snapshot.store(disk, directory, now: time.now())
        } catch {
            // The one before stays, or none: then more of the log is read at the next start.
        }
    }
}

extension PartitionState {
    /// What is known of the batches before the log's end; nil where nobody has sent an identity
    /// yet. To be taken under the same lock as a sync's mark: a batch that comes later pushes an
    /// older one out of the table, and after a power cut neither would be known.
    mutating func producerSnapshot() -> ProducerSnapshot? {
        guard hasProducers || !producers.isEmpty else { return nil }
        hasProducers = true
        return ProducerSnapshot(nextOffset: end, table: producers)
    }

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
