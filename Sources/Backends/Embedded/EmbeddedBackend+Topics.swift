import LogEngine
import Platform

// Creating, altering and deleting. One change at a time; what is on the disk changes first, then
// what calls see, so that nothing is shown which a crash could take back.
extension EmbeddedBackend {
    package func createTopic(
        _ name: String, partitionCount: Int, configuration: TopicConfiguration
    ) async throws(BackendError) -> (topic: any Topic, created: Bool) {
        try checkTopicName(name)
        try checkPartitionCount(partitionCount)
        try configuration.check()
        await changes.enter()
        defer { changes.leave() }
        let existing = try state.withLock { (state) throws(BackendError) in
            try state.phase.check()
            if state.topics[name] == nil, state.hasNameLike(name) {
                throw .topicNameCollides(name)
            }
            return state.topics[name]
        }
        if let existing {
            guard existing.partitionCount == partitionCount,
                existing.configuration == configuration
            else { throw .topicExists(name) }
            return (existing, false)
        }
        try checkRoom(topics: 1, partitions: partitionCount)
        let metadata = TopicMetadata(
            name: name, topicID: newTopicID(), partitionCount: partitionCount,
            configuration: configuration)
        let topic = try await makeTopic(metadata)
        state.withLock { $0.add(topic) }
        tellObserver(of: name)
        return (topic, true)
    }

    package func alterTopic(
        _ name: String, _ change: TopicChange
    ) async throws(BackendError) -> any Topic {
        await changes.enter()
        defer { changes.leave() }
        let topic = try embeddedTopic(name)
        let configuration = topic.configuration.applying(change)
        try configuration.check()
        let before = topic.partitionCount
        let partitionCount = change.partitionCount ?? before
        try checkPartitionCount(partitionCount)
        guard partitionCount >= before else {
            throw .invalidConfiguration(
                field: "partitions", reason: "can only grow, and there are \(before)")
        }
        guard partitionCount > before || configuration != topic.configuration else { return topic }
        try checkRoom(topics: 0, partitions: partitionCount - before)
        let metadata = TopicMetadata(
            name: name, topicID: topic.topicID, partitionCount: partitionCount,
            configuration: configuration)
        let added = try await grow(metadata, from: before)
        let directory = directory
        do {
            try await workers.attempt { () throws(DiskError) in
                try directory.writeTopic(metadata)
            }
        } catch {
            abandon(added)
            throw BackendError(error)
        }
        topic.alter(configuration, adding: added)
        if partitionCount > before { tellObserver(of: name) }
        return topic
    }

    private func tellObserver(of name: String) {
        let observer = state.withLock { $0.observer }
        observer?(name)
    }

    package func deleteTopic(_ name: String) async throws(BackendError) {
        let topic = try await unlinkTopic(name)
        let slots = topic.slots
        await workers.forEach(slots.count) { index in
            if case .open(let partition) = slots[index] { partition.quiesce() }
        }
        await removeRemains(topic.topicID)
    }

    /// From its return on the topic is gone for good; only its files are left.
    private func unlinkTopic(_ name: String) async throws(BackendError) -> EmbeddedTopic {
        await changes.enter()
        defer { changes.leave() }
        let topic = try embeddedTopic(name)
        topic.setDeleted(true)
        let directory = directory
        do {
            try await workers.attempt { () throws(DiskError) in
                try directory.markDeleted(topic.topicID)
            }
        } catch {
            topic.setDeleted(false)
            throw BackendError(error)
        }
        let slots = topic.slots
        state.withLock {
            $0.remove(name)
            let failed = $0.retired.failedPartitionCount
            $0.retired.add(slots)
            $0.retired.failedPartitionCount = failed
        }
        abandon(slots)
        tellObserver(of: name)
        return topic
    }

    // MARK: - Steps

    /// A topic that was not there, on the disk and opened; where that fails nothing of it remains.
    func makeTopic(_ metadata: TopicMetadata) async throws(BackendError) -> EmbeddedTopic {
        let directory = directory
        var slots: [EmbeddedTopic.Slot] = []
        do throws(BackendError) {
            do {
                try await workers.attempt { () throws(DiskError) in
                    try directory.beginTopic(metadata)
                }
            } catch { throw BackendError(error) }
            slots = try await openNew(metadata, 0..<metadata.partitionCount)
            do {
                try await workers.attempt { () throws(DiskError) in
                    try directory.commitTopic(metadata.topicID)
                }
            } catch { throw BackendError(error) }
        } catch {
            abandon(slots)
            await undo(metadata.topicID)
            throw error
        }
        return EmbeddedTopic(metadata, slots: slots)
    }

    /// A create that failed behind its rename is taken back first, or a crash before the files are
    /// removed would bring the topic.
    private func undo(_ topicID: String) async {
        let directory = directory
        do {
            try await workers.attempt { () throws(DiskError) in
                guard directory.disk.exists(directory.topicPath(topicID) + "/topic.json") else {
                    return
                }
                try directory.markDeleted(topicID)
            }
        } catch {
            log.warning(
                "a topic that could not be created may be there after a restart",
                metadata: ["topicId": "\(topicID)", "error": "\(error)"])
            return
        }
        await removeRemains(topicID)
    }

    private func grow(
        _ metadata: TopicMetadata, from before: Int
    ) async throws(BackendError) -> [EmbeddedTopic.Slot] {
        let added = before..<metadata.partitionCount
        guard !added.isEmpty else { return [] }
        let directory = directory
        do {
            try await workers.attempt { () throws(DiskError) in
                try directory.addPartitions(metadata.topicID, added)
            }
        } catch { throw BackendError(error) }
        return try await openNew(metadata, added)
    }

    /// New partitions must all open, or none is taken.
    private func openNew(
        _ metadata: TopicMetadata, _ range: Range<Int>
    ) async throws(BackendError) -> [EmbeddedTopic.Slot] {
        let work = range.map {
            PartitionWork(
                topicID: metadata.topicID, partition: $0, configuration: metadata.configuration,
                isNew: true)
        }
        let slots = await open(work) { _ in }
        for slot in slots {
            let error: BackendError
            switch slot {
            case .failed(let reason): error = reason
            case .open(let partition):
                // Such a one has no files yet that are sure to be there tomorrow.
                guard let failure = partition.failure else { continue }
                error = .storage(failure)
            }
            abandon(slots)
            throw error
        }
        return slots
    }

    private func abandon(_ slots: [EmbeddedTopic.Slot]) {
        for slot in slots {
            if case .open(let partition) = slot { partition.abandon() }
        }
    }

    private func checkRoom(topics: Int, partitions: Int) throws(BackendError) {
        let (topicCount, partitionCount) = state.withLock {
            ($0.topics.count, $0.topics.values.reduce(0) { $0 + $1.partitionCount })
        }
        guard topicCount + topics <= Limits.topics else {
            throw .limitReached("there may be \(Limits.topics) topics")
        }
        guard partitionCount + partitions <= Limits.partitions else {
            throw .limitReached("there may be \(Limits.partitions) partitions in all")
        }
    }
}
