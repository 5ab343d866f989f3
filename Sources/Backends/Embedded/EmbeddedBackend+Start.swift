import Groups
import LogEngine
import Platform
import Synchronization

extension EmbeddedBackend {
    /// Locks the directory, finds the topics, finishes what a crash left half done, and recovers
    /// the partitions on the workers. A topic whose metadata cannot be trusted, and a partition
    /// that cannot be opened, keep nothing else from being served.
    package func start(
        _ progress: @escaping @Sendable (Progress) -> Void = { _ in }
    ) async throws(StartError) {
        // A close that comes meanwhile waits, so that the lock outlives the work on the files.
        await changes.enter()
        defer { changes.leave() }
        try await lockDirectory()
        let found = try await inspectTopics()
        var metadata: [(TopicMetadata, missing: Set<Int>)] = []
        var quarantined: [Quarantined] = []
        var names: Set<String> = []
        for (entry, found) in found {
            switch found {
            case .remains: await removeRemains(entry)
            case .quarantined(let reason):
                quarantined.append(Quarantined(directory: entry, reason: reason))
            case .topic(let topic, let missing):
                if names.insert(topic.name).inserted {
                    metadata.append((topic, missing))
                } else {
                    let reason = "there is another topic \(topic.name)"
                    quarantined.append(Quarantined(directory: entry, reason: reason))
                }
            }
        }
        for one in quarantined {
            log.error(
                "a topic's directory is left untouched and not served",
                metadata: ["directory": "\(one.directory)", "reason": "\(one.reason)"])
        }
        let topics = await recover(metadata) { [self] in
            let now = $0
            state.withLock { $0.progress = now }
            progress(now)
        }
        register(topics, quarantined)
        guard !isClosing else { return }
        try await openStateLog(isComplete: quarantined.isEmpty)
        state.withLock { if $0.phase == .starting { $0.phase = .ready } }
    }

    private func lockDirectory() async throws(StartError) {
        let (directory, locks) = (directory, options.locksDirectory)
        let result = await workers.value { () -> Result<FileLock?, StartError> in
            Result { () throws(StartError) in
                do throws(DiskError) {
                    try directory.create()
                } catch { throw .storage(error.description) }
                let lock: FileLock?
                do throws(DiskError) {
                    lock = locks ? try FileLock(directory.lockPath) : nil
                } catch {
                    throw error.isLocked
                        ? .locked(directory.lockPath) : .storage(error.description)
                }
                try directory.openNode()
                return lock
            }
        }
        let lock = try result.get()
        state.withLock { $0.lock = lock }
    }

    private func inspectTopics() async throws(StartError) -> [(String, DataDirectory.Found)] {
        let directory = directory
        let entries: [String]
        do {
            entries = try await workers.attempt { () throws(DiskError) in try directory.list() }
        } catch { throw .storage(error.description) }
        let found = Mutex<[DataDirectory.Found?]>(Array(repeating: nil, count: entries.count))
        await workers.forEach(entries.count) { index in
            let one = directory.inspect(entries[index])
            found.withLock { $0[index] = one }
        }
        return found.withLock { found in
            zip(entries, found).compactMap { entry, found in found.map { (entry, $0) } }
        }
    }

    /// What cannot be removed now is tried again at the next start.
    func removeRemains(_ entry: String) async {
        let directory = directory
        do {
            try await workers.attempt { () throws(DiskError) in try directory.removeTopic(entry) }
        } catch {
            log.warning(
                "a deleted topic's files are not all removed",
                metadata: ["directory": "\(entry)", "error": "\(error)"])
        }
    }

    private func recover(
        _ metadata: [(TopicMetadata, missing: Set<Int>)],
        _ progress: @escaping @Sendable (Progress) -> Void
    ) async -> [EmbeddedTopic] {
        var work: [PartitionWork] = []
        for (topic, missing) in metadata {
            for partition in 0..<topic.partitionCount {
                work.append(
                    PartitionWork(
                        topicID: topic.topicID, partition: partition,
                        configuration: topic.configuration,
                        isMissing: missing.contains(partition)))
            }
        }
        var slots = await open(work, progress)[...]
        return metadata.map { topic, _ in
            defer { slots = slots.dropFirst(topic.partitionCount) }
            return EmbeddedTopic(topic, slots: Array(slots.prefix(topic.partitionCount)))
        }
    }

    private func register(_ topics: [EmbeddedTopic], _ quarantined: [Quarantined]) {
        state.withLock {
            for topic in topics {
                if isInternalTopicName(topic.name) {
                    $0.internalTopics[topic.name] = topic
                } else {
                    $0.add(topic)
                }
            }
            $0.quarantined = quarantined
        }
    }

    /// Finds the state log, or makes it at the first start. Where a directory is in quarantine it
    /// may be the state log's: then a new one would pass for the state of all groups.
    private func openStateLog(isComplete: Bool) async throws(StartError) {
        let name = EmbeddedStateLog.topicName
        if let topic = state.withLock({ $0.internalTopics[name] }) {
            guard topic.partitionCount == Limits.stateShards else {
                throw .damaged("\(name) has \(topic.partitionCount) partitions")
            }
            embeddedStateLog.open(topic)
            return
        }
        guard isComplete else {
            embeddedStateLog.fail("the state log is missing while directories are in quarantine")
            return
        }
        var configuration = TopicConfiguration()
        configuration.cleanupPolicy = .compact
        configuration.retentionMs = nil
        configuration.segmentBytes = Limits.stateSegmentBytes
        configuration.maxRecordBytes = Limits.stateRecordBytes
        let metadata = TopicMetadata(
            name: name, topicID: newTopicID(), partitionCount: Limits.stateShards,
            configuration: configuration)
        do {
            let topic = try await makeTopic(metadata)
            register([topic], [])
            embeddedStateLog.open(topic)
        } catch { throw .storage("creating \(name): \(error)") }
    }

    func newTopicID() -> String { TopicID(random: random(), random()).description }
}

// MARK: - Opening partitions

/// One partition to open.
struct PartitionWork: Sendable {
    var topicID: String
    var partition: Int
    var configuration: TopicConfiguration
    /// Its directory is not there. An empty log in its place would use its offsets again.
    var isMissing = false
    /// It has no files yet; of any other they are missing where there are none.
    var isNew = false
}

extension EmbeddedBackend {
    /// Opens all on the workers; the slots are in the order of `work`.
    func open(
        _ work: [PartitionWork], _ progress: @escaping @Sendable (Progress) -> Void
    ) async -> [EmbeddedTopic.Slot] {
        let slots = Mutex<[EmbeddedTopic.Slot?]>(Array(repeating: nil, count: work.count))
        let gauge = ProgressGauge(work.count, progress)
        await workers.forEach(work.count) { [self] index in
            let slot = open(work[index], gauge.scanned)
            slots.withLock { $0[index] = slot }
            gauge.opened()
        }
        return slots.withLock { $0.compactMap(\.self) }
    }

    private func open(
        _ work: PartitionWork, _ progress: @Sendable (Int64) -> Void
    ) -> EmbeddedTopic.Slot {
        let path = directory.partitionPath(work.topicID, work.partition)
        let failure: BackendError
        if isClosing {
            return .failed(.notReady("closing"))
        } else if work.isMissing {
            failure = .storage("the directory \(path) is missing")
        } else if !work.isNew, Partition.isGone(path, disk: directory.disk) {
            failure = .storage("the files in \(path) are missing")
        } else {
            do throws(LogError) {
                let partition = try Partition.open(
                    path, disk: directory.disk, time: time, workers: workers,
                    openSegments: openSegments, options: PartitionOptions(work.configuration),
                    onFailure: { [log] words in
                        log.error(
                            "a partition has failed: it takes no writes until a restart",
                            metadata: ["directory": "\(path)", "error": "\(words)"])
                    }, progress: progress)
                for note in partition.notes { log.notice("mended", metadata: ["what": "\(note)"]) }
                return .open(partition)
            } catch { failure = BackendError(error) }
        }
        log.error(
            "a partition cannot be opened",
            metadata: ["directory": "\(path)", "error": "\(failure.explanation)"])
        return .failed(failure)
    }
}

/// Sums what the workers report.
private final class ProgressGauge: Sendable {
    private let progress: Mutex<EmbeddedBackend.Progress>
    private let report: @Sendable (EmbeddedBackend.Progress) -> Void

    init(_ count: Int, _ report: @escaping @Sendable (EmbeddedBackend.Progress) -> Void) {
        progress = Mutex(EmbeddedBackend.Progress(partitionCount: count))
        self.report = report
    }

    /// Bytes since the last call.
    func scanned(_ bytes: Int64) {
        report(
            progress.withLock {
                $0.bytesScanned &+= bytes
                return $0
            })
    }

    func opened() {
        report(
            progress.withLock {
                $0.partitionsOpened += 1
                return $0
            })
    }
}
