package import LogEngine
import Platform
import Synchronization

/// A topic in the data directory: its partitions, and what they are told.
///
/// Outlives its deletion: whoever holds it gets `.unknownTopic` from then on.
final class EmbeddedTopic: Topic {
    /// A partition, or why it could not be opened. One that fails leaves the others be.
    enum Slot: Sendable {
        case open(Partition)
        case failed(BackendError)
    }

    private struct State {
        var slots: [Slot]
        var configuration: TopicConfiguration
        var isDeleted = false
    }

    let name: String
    let topicID: String
    private let state: Mutex<State>

    init(_ metadata: TopicMetadata, slots: [Slot]) {
        name = metadata.name
        topicID = metadata.topicID
        state = Mutex(State(slots: slots, configuration: metadata.configuration))
    }

    var partitionCount: Int { state.withLock { $0.slots.count } }
    var configuration: TopicConfiguration { state.withLock { $0.configuration } }
    var slots: [Slot] { state.withLock { $0.slots } }

    // MARK: - Hot path: one lock, no allocation, no thread hop

    func append(
        _ batch: consuming RecordBatchBuilder, to partition: Int, acks: Acks
    ) throws(BackendError) -> AppendTicket {
        let log = try self.partition(partition)
        let recordCount = batch.recordCount
        do {
            let base = try log.append(consume batch, isAwaited: acks == .all)
            return AppendTicket(
                partition: partition, baseOffset: base, recordCount: recordCount, acks: acks)
        } catch { throw translate(error) }
    }

    func append(
        _ batch: consuming RecordBatchBuilder, to partition: Int, acks: Acks,
        under rules: AppendRules
    ) throws(BackendError) -> AppendTicket {
        let log = try self.partition(partition)
        let recordCount = batch.recordCount
        do {
            let appended = try log.append(consume batch, under: rules, isAwaited: acks == .all)
            var ticket = AppendTicket(
                partition: partition, baseOffset: appended.offset, recordCount: recordCount,
                acks: acks)
            ticket.isReplay = appended.isReplay
            return ticket
        } catch { throw translate(error) }
    }

    func traces(ofKey id: Int64) throws(BackendError) -> [KeyTrace] {
        let slots = try state.withLock { (state) throws(BackendError) in
            guard !state.isDeleted else { throw .unknownTopic(name) }
            return state.slots
        }
        var traces: [KeyTrace] = []
        var closed: BackendError?
        for slot in slots {
            switch slot {
            case .open(let log): if let trace = log.trace(ofKey: id) { traces.append(trace) }
            case .failed(let error): closed = .partitionFailed(error.reasonNotOpened)
            }
        }
        // Its trace may be where nobody can look.
        if traces.isEmpty, let closed { throw closed }
        return traces
    }

    func acknowledge(_ ticket: AppendTicket) async throws(BackendError) -> Offset {
        switch ticket.acks {
        case .none, .leader: break
        case .all:
            let log = try partition(ticket.partition)
            do {
                try await log.durable(before: ticket.baseOffset + ticket.recordCount)
            } catch { throw translate(error) }
        }
        return ticket.baseOffset
    }

    func read(
        _ partition: Int, from offset: Offset, maxBytes: Int
    ) async throws(BackendError) -> Fetched {
        let log = try self.partition(partition)
        do {
            let batches = try await log.read(from: offset, maxBytes: maxBytes)
            return Fetched(batches: batches, bounds: log.bounds)
        } catch { throw translate(error) }
    }

    func readNow(
        _ partition: Int, from offset: Offset, maxBytes: Int
    ) throws(BackendError) -> Fetched? {
        let log = try self.partition(partition)
        do {
            let batches = try log.readNow(from: offset, maxBytes: maxBytes)
            return batches.map { Fetched(batches: $0, bounds: log.bounds) }
        } catch { throw translate(error) }
    }

    func bounds(_ partition: Int) throws(BackendError) -> PartitionBounds {
        try self.partition(partition).bounds
    }

    func watch(
        _ partition: Int, past offset: Offset, _ wakeup: Wakeup
    ) throws(BackendError) -> WatchID {
        WatchID(try self.partition(partition).watch(past: offset, wakeup))
    }

    func unwatch(_ partition: Int, _ id: WatchID) {
        let slot = state.withLock {
            $0.slots.indices.contains(partition) ? $0.slots[partition] : nil
        }
        if case .open(let log) = slot { log.unwatch(id.value) }
    }

    func partition(_ index: Int) throws(BackendError) -> Partition {
        let slot: Slot = try state.withLock { (state) throws(BackendError) in
            guard !state.isDeleted else { throw .unknownTopic(name) }
            guard state.slots.indices.contains(index) else {
                throw .unknownPartition(index, partitionCount: state.slots.count)
            }
            return state.slots[index]
        }
        switch slot {
        case .open(let log): return log
        case .failed(let error): throw .partitionFailed(error.reasonNotOpened)
        }
    }

    // MARK: - Less often

    func offset(
        _ partition: Int, atOrAfter timestamp: Int64
    ) async throws(BackendError) -> Offset {
        let log = try self.partition(partition)
        do { return try await log.offset(atOrAfter: timestamp) } catch { throw translate(error) }
    }

    func deleteRecords(
        _ partition: Int, before offset: Offset
    ) async throws(BackendError) -> Offset {
        let log = try self.partition(partition)
        do { return try await log.deleteRecords(before: offset) } catch { throw translate(error) }
    }

    func describe() async throws(BackendError) -> TopicDescription {
        let (slots, configuration) = try state.withLock { (state) throws(BackendError) in
            guard !state.isDeleted else { throw .unknownTopic(name) }
            return (state.slots, state.configuration)
        }
        return TopicDescription(
            name: name, topicID: topicID, configuration: configuration,
            partitions: slots.map(\.description))
    }

    /// Deletes what is past the topic's limits.
    func enforceRetention() async throws(BackendError) {
        try await forEachLog { log throws(LogError) in try await log.enforceRetention() }
    }

    /// Removes what is overruled, where the topic is compacted.
    func compact(_ settings: CompactionSettings) async throws(BackendError) {
        guard configuration.cleanupPolicy == .compact else { return }
        try await forEachLog { log throws(LogError) in try await log.compact(settings) }
    }

    /// One partition's trouble does not keep the others.
    private func forEachLog(
        _ body: (Partition) async throws(LogError) -> Void
    ) async throws(BackendError) {
        var failure: BackendError?
        for slot in slots {
            guard case .open(let log) = slot else { continue }
            do { try await body(log) } catch {
                let error = translate(error)
                guard error != .unknownTopic(name) else { return }
                failure = error
            }
        }
        if let failure { throw failure }
    }

    // MARK: - Change

    /// Takes a new configuration and more partitions, and wakes all who wait, to look again.
    func alter(_ configuration: TopicConfiguration, adding slots: [Slot]) {
        let all = state.withLock {
            $0.configuration = configuration
            $0.slots += slots
            return $0.slots
        }
        for slot in all {
            guard case .open(let log) = slot else { continue }
            log.configure(PartitionOptions(configuration))
            log.wakeAll()
        }
    }

    /// From now on calls throw `.unknownTopic`; those who wait are woken. `false` takes it back.
    func setDeleted(_ isDeleted: Bool) {
        let slots = state.withLock {
            $0.isDeleted = isDeleted
            return $0.slots
        }
        for slot in slots {
            if case .open(let log) = slot { log.wakeAll() }
        }
    }

    private func translate(_ error: LogError) -> BackendError {
        // Also where it is the files that are gone already.
        let isDeleted = state.withLock { $0.isDeleted }
        return isDeleted ? .unknownTopic(name) : BackendError(error)
    }
}

extension Partition {
    /// Read in this order, since each only grows, they are in order though the log goes on.
    var bounds: PartitionBounds {
        let logStart = self.logStart
        let highWatermark = self.highWatermark
        return PartitionBounds(logStart: logStart, highWatermark: highWatermark, logEnd: logEnd)
    }
}

extension EmbeddedTopic.Slot {
    fileprivate var description: PartitionDescription {
        switch self {
        case .open(let log):
            PartitionDescription(
                leader: 0, replicas: [0], isr: [0], bounds: log.bounds,
                byteCount: log.byteCount, failure: log.failure)
        case .failed(let error):
            PartitionDescription(
                leader: 0, replicas: [0], isr: [],
                bounds: PartitionBounds(
                    logStart: Offset(0), highWatermark: Offset(0), logEnd: Offset(0)),
                byteCount: 0, failure: error.reasonNotOpened)
        }
    }
}

extension PartitionOptions {
    /// Retention deletes nothing of a compacted topic: its latest values count, however old; what
    /// they overrule, compaction removes.
    init(_ configuration: TopicConfiguration) {
        self.init()
        segmentBytes = configuration.segmentBytes
        maxRecordBytes = configuration.maxRecordBytes
        deleteRetentionMs = configuration.deleteRetentionMs
        compressionType = configuration.compressionType
        switch configuration.cleanupPolicy {
        case .delete:
            retentionBytes = configuration.retentionBytes
            retentionMs = configuration.retentionMs
        case .compact:
            isCompacted = true
        }
    }
}

extension BackendError {
    package init(_ error: LogError) {
        switch error {
        case .offsetTrimmed(let earliest): self = .offsetTrimmed(earliest: earliest)
        case .offsetOutOfRange(let latest): self = .offsetOutOfRange(latest: latest)
        case .recordTooLarge(let limit): self = .recordTooLarge(limit: limit)
        case .recordWithoutKey: self = .recordWithoutKey
        case .storageFull: self = .storageFull
        case .identity(let refusal): self = .identity(refusal)
        case .endOffsetMismatch(let offset): self = .endOffsetMismatch(endOffset: offset)
        case .failed(let reason): self = .partitionFailed(reason)
        case .damaged(let offset, let reason): self = .damaged(at: offset, reason)
        case .disk(let error): self = BackendError(error)
        case .closed: self = .notReady("closing")
        }
    }

    fileprivate var reasonNotOpened: String { "it could not be opened: \(explanation)" }

    /// In words for an operator.
    var explanation: String {
        switch self {
        case .partitionFailed(let reason), .storage(let reason), .notReady(let reason): reason
        case .damaged(let offset, let reason): "damage at offset \(offset.value): \(reason)"
        case .storageFull: "no space is left"
        case .unknownTopic, .unknownPartition, .topicExists, .topicNameCollides,
            .invalidConfiguration, .limitReached, .offsetTrimmed, .offsetOutOfRange,
            .recordTooLarge, .recordWithoutKey, .identity,
            .endOffsetMismatch:
            "\(self)"
        }
    }

    init(_ error: DiskError) {
        self = error.isStorageFull ? .storageFull : .storage(error.description)
    }
}
