package import Logging
package import Platform

import LogEngine
import Synchronization

/// The seam on a local directory (DESIGN.md §4): finds topics by name, and carries their metadata
/// over a restart. What moves records is in `EmbeddedTopic` and `LogEngine.Partition`.
///
///     let backend = EmbeddedBackend("/data", …)   // serves: every call throws .notReady
///     try await backend.start { print($0) }       // locks, recovers
///     await backend.runMaintenance()              // retention and cleaning, until close
///     try await backend.close()
package final class EmbeddedBackend: Backend {
    package struct Options: Sendable {
        /// How often retention looks at the topics.
        package var maintenanceInterval: Duration = .seconds(30)
        /// How fast and how often sealed segments are read to look for damage; 0 bytes: never.
        package var scrubBytesPerSecond = Limits.scrubBytesPerSecond
        package var scrubInterval = Limits.scrubInterval
        /// False on a simulated disk only, where no other process is.
        package var locksDirectory = true
        /// Closed segments kept open for readers, of all partitions together. Each partition's
        /// active segment takes a descriptor beside them.
        package var openSegments = Limits.openSegments

        package init() {}
    }

    /// How far recovery has come.
    package struct Progress: Equatable, Sendable {
        package var partitionsOpened = 0
        package var partitionCount = 0
        /// Bytes of logs scanned because no clean stop vouched for them.
        package var bytesScanned: Int64 = 0

        var words: String {
            "\(partitionsOpened) of \(partitionCount) partitions are open, "
                + "\(bytesScanned >> 20) MiB scanned"
        }
    }

    /// A directory under topics/ that is left untouched because its metadata cannot be trusted.
    package struct Quarantined: Equatable, Sendable {
        package var directory: String
        package var reason: String
    }

    enum Phase { case starting, ready, closing }

    struct State {
        var phase = Phase.starting
        var progress = Progress()
        var topics: [String: EmbeddedTopic] = [:]
        /// How many of `topics` have the name: no new one may be taken for another.
        private var foldedNames: [String: Int] = [:]
        var internalTopics: [String: EmbeddedTopic] = [:]
        var quarantined: [Quarantined] = []
        /// What partitions of deleted topics have counted: counters never go down.
        var retired = BackendStatistics()
        var scrubPassCount: UInt64 = 0
        var lock: FileLock?
        var ticker: Ticker?
        var observer: (@Sendable (String) -> Void)?

        mutating func add(_ topic: EmbeddedTopic) {
            topics[topic.name] = topic
            foldedNames[foldedName(topic.name), default: 0] += 1
        }

        mutating func remove(_ name: String) {
            guard topics.removeValue(forKey: name) != nil else { return }
            let folded = foldedName(name)
            foldedNames[folded] = foldedNames[folded].flatMap { $0 > 1 ? $0 - 1 : nil }
        }

        func hasNameLike(_ name: String) -> Bool { foldedNames[foldedName(name)] != nil }
    }

    let directory: DataDirectory
    let time: any TimeSource
    let workers: WorkerPool
    let random: @Sendable () -> UInt64
    let options: Options
    let log: Logger
    let openSegments: OpenSegments
    let state = Mutex(State())
    /// Creating, altering and deleting: one at a time.
    let changes = Turnstile()
    let embeddedStateLog: EmbeddedStateLog
    private let maintenance = Wakeup()
    private let compacting = Wakeup()
    private let compaction: CompactionSettings
    let scrubbing = Wakeup()

    /// Does nothing yet. `random` gives the bits of topic IDs.
    package init(
        _ path: String, disk: any Disk, time: any TimeSource, workers: WorkerPool, log: Logger,
        random: @escaping @Sendable () -> UInt64, options: Options = Options()
    ) {
        directory = DataDirectory(path: path, disk: disk)
        self.time = time
        self.workers = workers
        self.log = log
        self.random = random
        self.options = options
        openSegments = OpenSegments(fileLimit: options.openSegments)
        compaction = CompactionSettings(hash: KeyHash(low: random(), high: random()))
        embeddedStateLog = EmbeddedStateLog(time: time, garbage: maintenance)
    }

    // MARK: - Hot path: one lock and one look into a dictionary

    package func topic(_ name: String) throws(BackendError) -> any Topic {
        try embeddedTopic(name)
    }

    func embeddedTopic(_ name: String) throws(BackendError) -> EmbeddedTopic {
        try state.withLock { (state) throws(BackendError) in
            try state.phase.check()
            // A name is its bytes: to a dictionary the Kelvin sign is the letter K, and so a rule
            // that denies a topic by its name would be got around.
            guard let topic = state.topics[name], topic.name.utf8.elementsEqual(name.utf8) else {
                throw .unknownTopic(name)
            }
            return topic
        }
    }

    package var isReady: Bool { state.withLock { $0.phase == .ready } }
    package var recoveryProgress: String? {
        state.withLock { $0.phase == .starting ? $0.progress.words : nil }
    }
    /// What recovery had to do.
    package var progress: Progress { state.withLock { $0.progress } }
    var isClosing: Bool { state.withLock { $0.phase == .closing } }
    package func observeTopics(_ observer: @escaping @Sendable (String) -> Void) {
        state.withLock { $0.observer = observer }
    }

    package var stateLog: any StateLog { embeddedStateLog }
    package func mayBeUnreadable(tag: String?) -> Bool {
        quarantined.contains { $0.directory.hasPrefix(tag ?? "") }
    }

    package var quarantined: [Quarantined] { state.withLock { $0.quarantined } }

    package func topics() async throws(BackendError) -> [TopicDescription] {
        let topics = try state.withLock { (state) throws(BackendError) in
            try state.phase.check()
            return state.topics.values.sorted { $0.name < $1.name }
        }
        var descriptions: [TopicDescription] = []
        for topic in topics {
            do { descriptions.append(try await topic.describe()) } catch {
                // Deleted since we looked.
                guard case .unknownTopic = error else { throw error }
            }
        }
        return descriptions
    }

    package func statistics() -> BackendStatistics {
        var (statistics, topics, internalTopics) = state.withLock { state in
            var statistics = state.retired
            statistics.scrubPassCount = state.scrubPassCount
            return (statistics, Array(state.topics.values), Array(state.internalTopics.values))
        }
        statistics.topicCount = topics.count
        for topic in topics {
            let slots = topic.slots
            statistics.partitionCount += slots.count
            statistics.add(slots)
        }
        for topic in internalTopics { statistics.add(topic.slots) }
        return statistics
    }

    // MARK: - Maintenance

    /// Applies retention and compacts every `maintenanceInterval`, and cleans the state log when it
    /// asks for it. Returns when the backend closes; the wiring runs it beside the server.
    package func runMaintenance() async {
        let ticker = Ticker(name: "maintenance", every: options.maintenanceInterval) {
            [maintenance, compacting] in
            maintenance.wake()
            compacting.wake()
        }
        state.withLock { $0.ticker = ticker }
        if isClosing { ticker.stop() }
        async let compaction: Void = runCompaction()
        while !isClosing {
            if isReady { await maintain() }
            await maintenance.wait()
        }
        await compaction
    }

    /// Beside the rest: a pass over a large log takes minutes.
    private func runCompaction() async {
        while !isClosing {
            if isReady { await compact() }
            await compacting.wait()
        }
    }

    /// One round of compaction of all topics, one partition at a time.
    package func compact() async {
        let topics = state.withLock { Array($0.topics.values) }
        for topic in topics {
            do { try await topic.compact(compaction) } catch  where !isClosing {
                log.error(
                    "compaction failed",
                    metadata: ["topic": "\(topic.name)", "error": "\(error.explanation)"])
            } catch { return }
        }
    }

    /// One round: retention of all topics, cleaning of the state log. Trouble is logged, and the
    /// next round tries again.
    package func maintain() async {
        let topics = state.withLock { $0.topics.values.sorted { $0.name < $1.name } }
        for topic in topics {
            do { try await topic.enforceRetention() } catch  where !isClosing {
                log.error(
                    "retention failed",
                    metadata: ["topic": "\(topic.name)", "error": "\(error.explanation)"])
            } catch { return }
        }
        do { try await embeddedStateLog.clean() } catch  where !isClosing {
            log.error(
                "cleaning of the state log failed", metadata: ["error": "\(error.explanation)"])
        } catch { return }
    }

    // MARK: - Close

    /// Stops taking calls, wakes all who wait, and vouches for every partition's files. Throws what
    /// went wrong first, having closed all it could.
    package func close() async throws(BackendError) {
        let isFirst = state.withLock { state in
            defer { state.phase = .closing }
            return state.phase != .closing
        }
        guard isFirst else { return }
        maintenance.wake()
        compacting.wake()
        scrubbing.wake()
        await changes.enter()
        defer { changes.leave() }
        let (topics, ticker) = state.withLock {
            (Array($0.topics.values) + Array($0.internalTopics.values), $0.ticker)
        }
        ticker?.stop()
        let slots = topics.flatMap(\.slots)
        let failures = Mutex<[BackendError]>([])
        await workers.forEach(slots.count) { index in
            guard case .open(let partition) = slots[index] else { return }
            partition.wakeAll()
            do throws(LogError) { try partition.close() } catch {
                failures.withLock { $0.append(BackendError(error)) }
            }
        }
        state.withLock { $0.lock = nil }
        if let failure = failures.withLock({ $0.first }) { throw failure }
    }
}

extension EmbeddedBackend.Phase {
    func check() throws(BackendError) {
        switch self {
        case .starting: throw .notReady("recovering")
        case .ready: return
        case .closing: throw .notReady("closing")
        }
    }
}

extension BackendStatistics {
    mutating func add(_ slots: [EmbeddedTopic.Slot]) {
        for slot in slots {
            guard case .open(let partition) = slot else {
                failedPartitionCount += 1
                continue
            }
            if partition.failure != nil { failedPartitionCount += 1 }
            let counted = partition.statistics
            appendedRecords &+= counted.appendedRecords
            appendedBytes &+= counted.appendedBytes
            readBytes &+= counted.readBytes
            syncCount &+= counted.syncCount
            syncNanoseconds &+= counted.syncNanoseconds
            compactionPassCount &+= counted.compactionPassCount
            compactionReadBytes &+= counted.compactionReadBytes
            compactionRemovedBytes &+= counted.compactionRemovedBytes
            scrubbedBytes &+= counted.scrubbedBytes
            scrubbedDamage &+= counted.scrubbedDamage
        }
    }
}
