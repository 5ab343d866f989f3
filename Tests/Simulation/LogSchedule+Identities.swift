import LogEngine
import Platform
import Synchronization
import TestSupport

/// Batches that say who sent them, and their tries again: pitfalls 45 and 46.
///
/// The model knows which of them are in the log. One that is there is never appended again; as long
/// as it is remembered it is a duplicate, at the offset it has.
extension LogSchedule {
    struct Sent {
        var identity: BatchIdentity
        var values: [Value]
        /// Where it was appended last, or may have been.
        var base: Int64

        var end: Int64 { base + Int64(values.count) }
    }

    private enum Expected: Equatable {
        case append, refusal
        case duplicate(Int64)
    }

    /// Whether a snapshot of producers could not be stored: what stood in deleted segments only may
    /// then be forgotten.
    final class Memory: Sendable {
        private let state = Mutex(false)
        var isLost: Bool { state.withLock { $0 } }

        func note(_ path: String) {
            if path.contains("/producers") { state.withLock { $0 = true } }
        }
    }

    /// A new batch under a key, or the next of one of two producers, now and then of a new epoch.
    @inline(never)
    mutating func appendIdentified() throws {
        let values = newValues()
        let end = Int64(appended.count)
        if random.below(3) == 0 {
            nextKey += 1
            let stamp = KeyStamp(
                id: BatchIdentity.firstKeyID + nextKey, partitionCount: 1,
                fingerprint: Int32(nextKey), firstTried: Self.firstTried)
            sent.append(Sent(identity: .key(stamp), values: values, base: end))
        } else {
            let id = Int64(random.below(2))
            // What is lost and not sent again by now is given up: its numbers are used anew.
            sent = sent.filter { $0.producer?.id != id || isThere($0) }
            let known = remembered(of: id)
            var next = ProducerSequence(id: id, epoch: 0, sequence: 0)
            if let last = known.last, let producer = last.producer {
                next = producer
                next.sequence += Int32(last.values.count)
            }
            if random.below(12) == 0 { (next.epoch, next.sequence) = (next.epoch + 1, 0) }
            sent.append(Sent(identity: .producer(next), values: values, base: end))
        }
        try send(sent.count - 1)
    }

    /// What was sent lately, acknowledged or not, some of it or all, in order.
    @inline(never)
    mutating func sendAgain() throws {
        let isWhole = random.below(2) == 0
        var index = max(0, sent.count - 10)
        while index < sent.count, partition.failure == nil {
            let count = sent.count
            if isWhole || random.below(3) == 0 { try send(index) }
            index += sent.count < count ? 0 : 1
        }
    }

    private mutating func send(_ index: Int) throws(Broken) {
        let batch = sent[index]
        let expected = expected(of: batch)
        let mayBeForgotten = memory.isLost && batch.base < partition.logStart.value
        let before = partition.logEnd.value
        let words = "\(batch.identity) from \(batch.base), \(expected) was expected, "
        let answer: (offset: Offset, isReplay: Bool)
        do throws(LogError) {
            answer = try partition.append(
                builder(of: batch.values, baseTimestamp: Self.firstTried),
                under: AppendRules(identity: batch.identity), isAwaited: random.below(2) == 0)
        } catch {
            trace.add(14, before)
            return try settle(index, error, expected, mayBeForgotten, words)
        }
        trace.add(13, answer.offset.value, answer.isReplay ? 1 : 0)
        let isRight =
            answer.isReplay
            ? expected == .duplicate(answer.offset.value)
            : expected == .append || mayBeForgotten
        try promise(isRight, words + "it is at \(answer.offset.value), \(answer.isReplay)")
        guard !answer.isReplay else { return }
        set(batch.values, from: answer.offset.value)
        sent[index].base = answer.offset.value
    }

    private mutating func settle(
        _ index: Int, _ error: LogError, _ expected: Expected, _ mayBeForgotten: Bool,
        _ words: String
    ) throws(Broken) {
        switch error {
        case .storageFull: break
        case .identity(let refusal):
            try promise(expected == .refusal || mayBeForgotten, words + "\(refusal)")
            if !isThere(sent[index]) { sent.remove(at: index) }
        default:
            // Whether it is there is not known until the next start.
            guard expected == .append else { return }
            let end = partition.logEnd.value
            set(sent[index].values, from: end)
            sent[index].base = end
        }
    }

    // MARK: - The model

    private func isThere(_ batch: Sent) -> Bool {
        batch.end <= min(partition.logEnd.value, Int64(appended.count))
            && appended[Int(batch.base)] == batch.values[0]
    }

    /// The batches of a producer's newest epoch that are in the log, in order.
    private func remembered(of id: Int64) -> [Sent] {
        let known = sent.filter { $0.producer?.id == id && isThere($0) }
        let epoch = known.compactMap(\.producer?.epoch).max()
        return known.filter { $0.producer?.epoch == epoch }.sorted { $0.base < $1.base }
    }

    private func expected(of batch: Sent) -> Expected {
        guard let producer = batch.producer else {
            return isThere(batch) ? .duplicate(batch.base) : .append
        }
        let known = remembered(of: producer.id)
        guard let last = known.last, let newest = last.producer, newest.epoch == producer.epoch
        else {
            let isNewer = known.last?.producer.map { producer.epoch > $0.epoch } ?? true
            return isNewer && producer.sequence == 0 ? .append : .refusal
        }
        if isThere(batch), known.suffix(5).contains(where: { $0.base == batch.base }) {
            return .duplicate(batch.base)
        }
        let next = newest.sequence + Int32(last.values.count)
        return producer.sequence == next ? .append : .refusal
    }

    private static let firstTried: Int64 = 1_600_000_000_000
}

extension LogSchedule.Sent {
    var producer: ProducerSequence? {
        if case .producer(let sequence) = identity { return sequence }
        return nil
    }
}
