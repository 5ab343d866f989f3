import Backends
import Platform
import Synchronization

/// A state log in memory, whose records become durable when the test says so.
final class MemoryStateLog: StateLog {
    private struct State {
        var records: [[StateRecord]]
        var durable: [Int]
        var isHeld = false
        var failure: BackendError?
        var refusal: BackendError?
        var waiters: [Wakeup] = []
    }

    let shardCount: Int
    private let state: Mutex<State>

    init(shardCount: Int = 4, _ records: [[StateRecord]]? = nil) {
        self.shardCount = shardCount
        let records = records ?? Array(repeating: [], count: shardCount)
        state = Mutex(State(records: records, durable: records.map(\.count)))
    }

    /// What a power cut leaves: a log with the durable records only.
    func afterCrash() -> MemoryStateLog {
        state.withLock { state in
            let kept = zip(state.records, state.durable).map { Array($0.prefix($1)) }
            return MemoryStateLog(shardCount: shardCount, kept)
        }
    }

    /// Syncs take for ever, until `release`.
    func hold() { state.withLock { $0.isHeld = true } }

    func release() {
        let waiters = state.withLock { state in
            state.isHeld = false
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.wake() }
    }

    /// The next sync fails, and all after it.
    func fail(_ error: BackendError) {
        let waiters = state.withLock { state in
            state.failure = error
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.wake() }
    }

    /// Appends throw, with nothing appended, until nil.
    func refuse(_ error: BackendError?) { state.withLock { $0.refusal = error } }

    /// Returns when somebody waits for a sync.
    func someoneWaits() async {
        while state.withLock({ $0.waiters.isEmpty }) { await Task.yield() }
    }

    var recordCount: Int { state.withLock { $0.records.reduce(0) { $0 + $1.count } } }

    func append(_ records: [StateRecord], to shard: Int) throws(BackendError) -> StateTicket {
        try state.withLock { (state) throws(BackendError) in
            if let failure = state.failure ?? state.refusal { throw failure }
            state.records[shard] += records
            return StateTicket(shard: shard, nextOffset: Offset(Int64(state.records[shard].count)))
        }
    }

    func durable(_ ticket: StateTicket) async throws(BackendError) {
        let wakeup = Wakeup()
        while true {
            let isDone = try state.withLock { (state) throws(BackendError) in
                if state.durable[ticket.shard] >= Int(ticket.nextOffset.value) { return true }
                if let failure = state.failure { throw failure }
                if !state.isHeld {
                    state.durable[ticket.shard] = state.records[ticket.shard].count
                    return true
                }
                state.waiters.append(wakeup)
                return false
            }
            if isDone { return }
            await wakeup.wait()
        }
    }

    func replay(_ shard: Int, _ body: ([StateRecord]) -> Void) async throws(BackendError) {
        let records = try state.withLock { (state) throws(BackendError) in
            if let failure = state.failure { throw failure }
            return state.records[shard]
        }
        for record in records { body([record]) }
    }
}

/// A backend of which only names, IDs and bounds of topics are real.
final class NamedTopics: Backend {
    private let found = Mutex<[String: NamedTopic]>([:])
    private let observer = Mutex<(@Sendable (String) -> Void)?>(nil)
    let log: MemoryStateLog

    init(_ log: MemoryStateLog) { self.log = log }

    /// Sharing the topics of another, over a log that went on.
    init(_ log: MemoryStateLog, like other: NamedTopics) {
        self.log = log
        let topics = other.found.withLock { $0 }
        found.withLock { $0 = topics }
    }

    func set(_ name: String, id: UInt8, partitions: Int = 4, logEnd: Int64 = 1000) {
        let topic = NamedTopic(name, id: id, partitions: partitions, logEnd: logEnd)
        found.withLock { $0[name] = topic }
        observer.withLock { $0 }?(name)
    }

    func remove(_ name: String) {
        found.withLock { $0[name] = nil }
        observer.withLock { $0 }?(name)
    }

    func observeTopics(_ observer: @escaping @Sendable (String) -> Void) {
        self.observer.withLock { $0 = observer }
    }

    var isReady: Bool { true }
    var stateLog: any StateLog { log }
    func topic(_ name: String) throws(BackendError) -> any Topic {
        guard let topic = found.withLock({ $0[name] }) else { throw .unknownTopic(name) }
        return topic
    }
    func topics() async throws(BackendError) -> [TopicDescription] { [] }
    func createTopic(
        _ name: String, partitionCount: Int, configuration: TopicConfiguration
    ) async throws(BackendError) -> (topic: any Topic, created: Bool) { throw unused }
    func alterTopic(
        _ name: String, _ change: TopicChange
    ) async throws(BackendError) -> any Topic { throw unused }
    func deleteTopic(_ name: String) async throws(BackendError) { throw unused }
    func statistics() -> BackendStatistics { BackendStatistics() }
}

private let unused = BackendError.storage("not part of this test")

final class NamedTopic: Topic {
    let name: String
    let topicID: String
    let partitionCount: Int
    private let logEnd: Int64

    init(_ name: String, id: UInt8, partitions: Int, logEnd: Int64) {
        self.name = name
        topicID = "01234567-89ab-4def-bedc-ba98765432" + (id < 10 ? "0\(id)" : "\(id)")
        partitionCount = partitions
        self.logEnd = logEnd
    }

    var configuration: TopicConfiguration { TopicConfiguration() }
    func readNow(
        _ partition: Int, from offset: Offset, maxBytes: Int
    ) throws(BackendError) -> Fetched? { throw unused }
    func bounds(_ partition: Int) throws(BackendError) -> PartitionBounds {
        guard (0..<partitionCount).contains(partition) else {
            throw .unknownPartition(partition, partitionCount: partitionCount)
        }
        return PartitionBounds(
            logStart: Offset(0), highWatermark: Offset(logEnd), logEnd: Offset(logEnd))
    }
    func describe() async throws(BackendError) -> TopicDescription { throw unused }
    func append(
        _ batch: consuming RecordBatchBuilder, to partition: Int, acks: Acks
    ) throws(BackendError) -> AppendTicket { throw unused }
    func append(
        _ batch: consuming RecordBatchBuilder, to partition: Int, acks: Acks,
        under rules: AppendRules
    ) throws(BackendError) -> AppendTicket { throw unused }
    func traces(ofKey id: Int64) throws(BackendError) -> [KeyTrace] { throw unused }
    func acknowledge(_ ticket: AppendTicket) async throws(BackendError) -> Offset { throw unused }
    func read(
        _ partition: Int, from offset: Offset, maxBytes: Int
    ) async throws(BackendError) -> Fetched { throw unused }
    func offset(
        _ partition: Int, atOrAfter timestamp: Int64
    ) async throws(BackendError) -> Offset { throw unused }
    func deleteRecords(
        _ partition: Int, before offset: Offset
    ) async throws(BackendError) -> Offset { throw unused }
    func watch(
        _ partition: Int, past offset: Offset, _ wakeup: Wakeup
    ) throws(BackendError) -> WatchID { throw unused }
    func unwatch(_ partition: Int, _ id: WatchID) {}
}
