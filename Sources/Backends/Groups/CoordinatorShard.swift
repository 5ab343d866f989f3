import Groups

/// One shard of the coordinator, under its lock.
struct CoordinatorShard {
    enum Phase {
        case loading
        case ready
        case failed(BackendError)
    }

    var phase = Phase.loading
    var groups = GroupShard()
    /// Behind the last record applied; nil until one was appended.
    var last: StateTicket?
    /// Groups whose topics changed while the log could not take what follows from it.
    var outdated: Set<GroupID> = []
    var watches = MemberWatches()

    func check() throws(GroupError) {
        switch phase {
        case .loading: throw .backend(.notReady("loading groups"))
        case .ready: return
        case .failed(let error): throw .backend(error)
        }
    }

    /// Gives records their place in the log and in the state. Throws with nothing changed.
    mutating func append(
        _ records: [GroupRecord], to shard: Int, of log: any StateLog, now: Duration
    ) throws(BackendError) {
        guard !records.isEmpty else { return }
        last = try log.append(
            records.map { StateRecord(key: $0.encodedKey, value: $0.encodedValue) }, to: shard)
        for key in groups.apply(records, now: now) { watches.wake(key) }
    }
}

/// The topics as the backend knows them now.
final class PresentTopics {
    private let backend: any Backend
    /// Why a look-up failed: what was decided by it must not be done.
    private(set) var failure: BackendError?

    init(_ backend: any Backend) { self.backend = backend }

    func shape(_ name: String) -> TopicShape? {
        do throws(BackendError) {
            let topic = try backend.topic(name)
            guard let id = TopicID(topic.topicID),
                let partitionCount = Int32(exactly: topic.partitionCount)
            else { return nil }
            return TopicShape(id, partitionCount: partitionCount)
        } catch {
            if case .unknownTopic = error { return nil }
            failure = error
            return nil
        }
    }
}
