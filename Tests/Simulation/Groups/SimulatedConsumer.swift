import Groups
import TestSupport

/// What a client sends.
struct GroupRequest {
    enum Kind {
        case join(MemberMetadata)
        case poll(epoch: Int64, [Processed])
        case heartbeat(epoch: Int64)
        case commit(epoch: Int64, [Processed])
        case leave
    }

    /// What the client has processed of a partition it read.
    struct Processed: Hashable {
        var place: TopicPartition
        var topicName: String
        var offset: Int64
    }

    var number: Int
    /// The number it was first sent under.
    var origin: Int
    var client: Int
    var key: MemberKey
    var kind: Kind
    /// Made up: it may name the new topic where the member still holds the old one of its name.
    var isLie = false

    var epoch: Int64? {
        switch kind {
        case .poll(let epoch, _), .heartbeat(let epoch), .commit(let epoch, _): epoch
        case .join, .leave: nil
        }
    }

    var processed: [Processed] {
        switch kind {
        case .poll(_, let processed), .commit(_, let processed): processed
        case .join, .heartbeat, .leave: []
        }
    }

    /// Whether it commits this. On the wire a topic is its name; an honest client never has the
    /// name of one topic and means another, a liar may.
    func names(_ place: TopicPartition, _ offset: Int64, as topicName: String) -> Bool {
        processed.contains {
            $0.offset == offset && $0.place.partition == place.partition
                && (isLie ? $0.topicName == topicName : $0.place == place)
        }
    }
}

/// What it is told, once all that the answer shows is durable.
struct GroupAnswer {
    enum Outcome {
        case assigned(epoch: Int64, [TopicPartition: String])
        case done
        case fenced(current: Int64)
        /// By another process that joined under its name.
        case replaced
        case unknown
        case refused
    }

    var request: GroupRequest
    var outcome: Outcome
    /// The batch it waits for.
    var batch: Int
}

/// A client process: what it believes, and what it works on.
struct SimulatedConsumer {
    enum Phase: Equatable {
        /// Not a member, as far as it knows.
        case out
        case idle
        /// For the answer to the request of this number.
        case waiting(Int)
        /// It does nothing any more, and may still be working.
        case silent
    }

    enum Habit {
        case honest
        /// Its work hangs; only its heartbeats go on.
        case heartbeatOnly
        /// Its requests are made up.
        case liar
    }

    let index: Int
    var key: MemberKey
    var metadata: MemberMetadata
    var habit: Habit
    var phase = Phase.out
    var sent: GroupRequest?
    /// As told last; 0 for none.
    var epoch: Int64 = 0
    var owned: [TopicPartition: String] = [:]
    /// Taken away by the last answer: the next poll may commit it.
    var leaving: [TopicPartition: String] = [:]
    /// What it works on: from the answer that gave it until the poll that lets it go.
    var working: Set<TopicPartition> = []
    var positions: [TopicPartition: Int64] = [:]
    /// Somebody else spoke for the member since, or it was taken for gone: it need not know yet.
    var isFenced = false

    /// Some of what it works on, further processed.
    mutating func process(_ random: inout SeededRandom) -> [GroupRequest.Processed] {
        var entries: [GroupRequest.Processed] = []
        let held = owned.merging(leaving) { name, _ in name }
        for (place, name) in held.sorted(by: { $0.key < $1.key }) where random.below(3) > 0 {
            positions[place, default: 0] += Int64(random.below(5))
            entries.append(
                GroupRequest.Processed(
                    place: place, topicName: name, offset: positions[place] ?? 0))
        }
        return entries
    }

    /// The poll of an epoch lets go what the epoch took away.
    mutating func send(_ request: GroupRequest) {
        sent = request
        phase = .waiting(request.number)
        switch request.kind {
        case .poll:
            working = Set(owned.keys)
            leaving = [:]
        case .join, .leave: forget()
        case .heartbeat, .commit: break
        }
    }

    mutating func receive(_ answer: GroupAnswer) {
        guard phase == .waiting(answer.request.number) else { return }
        phase = .idle
        switch answer.outcome {
        case .assigned(let epoch, let owned):
            // What is taken away is worked on until the next poll, which commits it.
            if case .poll = answer.request.kind {
                leaving = self.owned.filter { owned[$0.key] == nil }
            }
            self.epoch = epoch
            self.owned = owned
            working.formUnion(owned.keys)
        case .done: if case .leave = answer.request.kind { phase = .out }
        case .fenced(let current):
            forget()
            epoch = current
        case .unknown, .replaced:
            // One that was replaced may try to take its place back.
            forget()
            epoch = 0
            phase = .out
        case .refused:
            if case .join = answer.request.kind { phase = .out }
        }
    }

    private mutating func forget() {
        working = []
        owned = [:]
        leaving = [:]
    }
}
