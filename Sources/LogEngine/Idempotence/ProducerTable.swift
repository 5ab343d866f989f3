package import Platform

/// What a partition remembers of who wrote to it: the last batches of each producer, and each
/// `Idempotency-Key`. A value; everything in it stands in the log's batches too.
///
/// Bounded by count and, as `expire` is called, by age. What is forgotten first is what was written
/// first.
package struct ProducerTable: Equatable, Sendable {
    struct Batch: Equatable {
        var sequence: Int32
        var baseOffset: Int64
        var recordCount: Int32

        var lastSequence: Int32 {
            ProducerSequence.advance(sequence, by: Int64(recordCount) - 1)
        }
        var nextSequence: Int32 { ProducerSequence.advance(sequence, by: Int64(recordCount)) }
        var nextOffset: Int64 { baseOffset &+ Int64(recordCount) }
    }

    struct Producer: Equatable {
        var epoch: Int16
        /// The oldest first; never empty, five at most.
        var batches: [Batch]
        var appendedAt: Instant
    }

    struct Key: Equatable {
        var stamp: KeyStamp
        var baseOffset: Int64
        var recordCount: Int32
        var appendedAt: Instant
    }

    package enum Verdict: Equatable {
        case append
        /// It was appended before, at this offset.
        case duplicate(Offset)
    }

    var producers: [Int64: Producer] = [:]
    var keys: [Int64: Key] = [:]
    /// The latest `firstTried` of the keys that were forgotten; nil while none was.
    var forgottenThrough: Int64?

    package init() {}

    package var producerCount: Int { producers.count }
    package var keyCount: Int { keys.count }
    var isEmpty: Bool { producers.isEmpty && keys.isEmpty && forgottenThrough == nil }

    // MARK: - Judging

    /// Whether a batch of `recordCount` records may be appended. `isRetry`: see `AppendRules`.
    package func judge(
        _ identity: BatchIdentity, recordCount: Int, isRetry: Bool = false
    ) throws(IdentityRefusal) -> Verdict {
        switch identity {
        case .producer(let sequence): try judge(sequence, recordCount)
        case .key(let stamp): try judge(stamp, isRetry)
        }
    }

    private func judge(
        _ sent: ProducerSequence, _ recordCount: Int
    ) throws(IdentityRefusal) -> Verdict {
        guard let known = producers[sent.id], let last = known.batches.last else {
            // Appending it could double what was forgotten, so a client has to say it begins.
            guard sent.sequence == 0 else { throw .unknownProducer }
            return .append
        }
        guard sent.epoch >= known.epoch else { throw .fenced(currentEpoch: known.epoch) }
        if sent.epoch > known.epoch {
            guard sent.sequence == 0 else { throw .outOfOrderSequence(expected: 0) }
            return .append
        }
        let end = ProducerSequence.advance(sent.sequence, by: Int64(recordCount) - 1)
        let same = known.batches.last { $0.sequence == sent.sequence && $0.lastSequence == end }
        if let same { return .duplicate(Offset(same.baseOffset)) }
        guard sent.sequence == last.nextSequence else {
            throw .outOfOrderSequence(expected: last.nextSequence)
        }
        return .append
    }

    private func judge(_ sent: KeyStamp, _ isRetry: Bool) throws(IdentityRefusal) -> Verdict {
        if let known = keys[sent.id] {
            guard known.stamp.fingerprint == sent.fingerprint else { throw .keyReused }
            return .duplicate(Offset(known.baseOffset))
        }
        // All batches of a request have the same `firstTried`: were it here once, it is not later
        // than the latest that was forgotten.
        if isRetry, let forgottenThrough, sent.firstTried <= forgottenThrough {
            throw .keyForgotten
        }
        return .append
    }

    package func trace(ofKey id: Int64) -> KeyTrace? {
        keys[id].map {
            KeyTrace(
                stamp: $0.stamp, baseOffset: Offset($0.baseOffset),
                recordCount: Int($0.recordCount))
        }
    }

    // MARK: - Remembering

    /// Notes a batch that was appended, or is found in the log.
    package mutating func note(
        _ identity: BatchIdentity, at offset: Offset, recordCount: Int, now: Instant
    ) {
        let count = Int32(clamping: recordCount)
        switch identity {
        case .producer(let sent):
            let batch = Batch(
                sequence: sent.sequence, baseOffset: offset.value, recordCount: count)
            note(batch, of: sent, now)
        case .key(let stamp):
            keys[stamp.id] = Key(
                stamp: stamp, baseOffset: offset.value, recordCount: count, appendedAt: now)
            if keys.count > Limits.keysRemembered + Limits.forgottenAtOnce { forgetKeys() }
        }
    }

    private mutating func note(_ batch: Batch, of sent: ProducerSequence, _ now: Instant) {
        guard var known = producers[sent.id], known.epoch == sent.epoch else {
            producers[sent.id] = Producer(epoch: sent.epoch, batches: [batch], appendedAt: now)
            let most = Limits.producersRemembered + Limits.forgottenAtOnce
            if producers.count > most { forgetProducers() }
            return
        }
        // In place: taken out first, so that the array is not copied.
        producers[sent.id] = nil
        if known.batches.count == Limits.batchesPerProducer { known.batches.removeFirst() }
        known.batches.append(batch)
        known.appendedAt = now
        producers[sent.id] = known
    }

    // MARK: - Forgetting

    /// Many at once, so that a client that never repeats a key pays for a look at all of them only
    /// now and then.
    private mutating func forgetKeys() {
        let offsets = keys.values.map(\.baseOffset).sorted()
        let first = offsets[offsets.count - Limits.keysRemembered]
        forgetKeys { $0.baseOffset < first }
    }

    private mutating func forgetProducers() {
        let offsets = producers.values.map { $0.batches.last?.baseOffset ?? -1 }.sorted()
        let first = offsets[offsets.count - Limits.producersRemembered]
        producers = producers.filter { ($0.value.batches.last?.baseOffset ?? -1) >= first }
    }

    private mutating func forgetKeys(where isPast: (Key) -> Bool) {
        var latest = forgottenThrough ?? .min
        var kept: [Int64: Key] = [:]
        for (id, key) in keys {
            if isPast(key) { latest = max(latest, key.stamp.firstTried) } else { kept[id] = key }
        }
        guard kept.count < keys.count else { return }
        forgottenThrough = latest
        keys = kept
    }

    /// Forgets what was last heard of longer ago than `Limits.identityAge`.
    package mutating func expire(now: Instant) {
        forgetKeys { now - $0.appendedAt > Limits.identityAge }
        let hasOld = producers.contains { now - $0.value.appendedAt > Limits.identityAge }
        guard hasOld else { return }
        producers = producers.filter { now - $0.value.appendedAt <= Limits.identityAge }
    }

    /// Without what was appended at or behind `offset`.
    func durable(before offset: Int64) -> ProducerTable {
        var table = self
        table.keys = keys.filter { $0.value.baseOffset < offset }
        for (id, producer) in producers {
            var batches = producer.batches
            batches.removeAll { $0.baseOffset >= offset }
            table.producers[id]?.batches = batches
            if batches.isEmpty { table.producers[id] = nil }
        }
        return table
    }
}
