import Groups
import TestSupport

extension GroupSchedule {
    private static let timeouts: [Int64] = [1_000, 4_000, 10_000]

    /// Sometimes it takes the name of another, as a second process of a static member does.
    mutating func makeConsumer(_ index: Int) -> SimulatedConsumer {
        let isTwin = index > 0 && random.below(7) == 0
        let name = isTwin ? consumers[random.below(index)].key.member.name : "m\(index)"
        let group = Self.groups[random.below(3) == 0 ? 1 : 0]
        let habit: SimulatedConsumer.Habit =
            switch random.below(10) {
            case 0: .heartbeatOnly
            case 1: .liar
            default: .honest
            }
        guard let member = MemberID(name) else { preconditionFailure("\(name) is no name") }
        return SimulatedConsumer(
            index: index, key: MemberKey(group, member), metadata: makeMetadata(), habit: habit)
    }

    private mutating func makeMetadata() -> MemberMetadata {
        let names = Self.topicNames.filter { _ in random.below(3) > 0 }
        return MemberMetadata(
            topics: names.isEmpty ? ["t0"] : names, sessionTimeout: Self.timeouts[random.below(3)],
            rebalanceTimeout: Self.timeouts[random.below(3)],
            assignor: random.below(3) > 0
                ? nil : Assignor.allCases[random.below(Assignor.allCases.count)])
    }

    // MARK: - A client acts

    mutating func act(_ index: Int) {
        switch consumers[index].phase {
        case .silent:
            // It was only paused, and believes what it did.
            if random.below(8) == 0 { consumers[index].phase = .idle }
        case .out:
            if random.below(10) == 0 { consumers[index].metadata = makeMetadata() }
            send(index, .join(consumers[index].metadata))
        case .waiting:
            // The answer does not come: the same once more, or something else.
            guard random.below(3) == 0, let sent = consumers[index].sent else { return }
            if random.below(4) == 0 {
                consumers[index].phase = consumers[index].epoch > 0 ? .idle : .out
            } else {
                send(index, sent.kind, origin: sent.origin)
            }
        case .idle: work(index)
        }
    }

    private mutating func work(_ index: Int) {
        let epoch = consumers[index].epoch
        let die = random.below(20)
        switch die {
        case 0: consumers[index].phase = .silent
        case 1: send(index, .leave)
        case 2:
            consumers[index].metadata = makeMetadata()
            send(index, .join(consumers[index].metadata))
        case 3: send(index, .join(consumers[index].metadata))
        case 4, 5: send(index, .heartbeat(epoch: epoch))
        case 6, 7: send(index, .commit(epoch: epoch, process(index)))
        default:
            guard consumers[index].habit != .heartbeatOnly else {
                send(index, .heartbeat(epoch: epoch))
                return
            }
            let isLast = !consumers[index].leaving.isEmpty
            send(index, .poll(epoch: epoch, die < 10 && !isLast ? [] : process(index)))
        }
    }

    private mutating func process(_ index: Int) -> [GroupRequest.Processed] {
        consumers[index].process(&random)
    }

    mutating func send(_ index: Int, _ kind: GroupRequest.Kind, origin: Int? = nil) {
        lastRequest += 1
        let request = GroupRequest(
            number: lastRequest, origin: origin ?? lastRequest, client: index,
            key: consumers[index].key, kind: kind)
        consumers[index].send(request)
        requests.append(request)
    }

    // MARK: - Lies

    /// A request that somebody made up, under any name.
    mutating func lie() {
        guard let liar = consumers.firstIndex(where: { $0.habit == .liar }) else { return }
        let victim = consumers[random.below(consumers.count)]
        let known = server.shard.state.groups[victim.key.group]?.assignments[victim.key.member]
        let epochs = [0, -1, .max, .min, (known?.epoch ?? 1) - 1, (known?.epoch ?? 1) + 1]
        let epoch = epochs[random.below(epochs.count)]
        var processed: [GroupRequest.Processed] = []
        for name in Self.topicNames where random.below(2) == 0 {
            let topic = topics[name]?.topic ?? TopicID(high: 99, low: 99)
            let offsets: [Int64] = [-1, .min, .max, 0, 5]
            processed.append(
                GroupRequest.Processed(
                    place: TopicPartition(topic, Int32(random.below(7)) - 1), topicName: name,
                    offset: offsets[random.below(offsets.count)]))
        }
        lastRequest += 1
        let kind: GroupRequest.Kind =
            switch random.below(4) {
            case 0: .poll(epoch: epoch, processed)
            case 1: .commit(epoch: epoch, processed)
            case 2: .heartbeat(epoch: epoch)
            default: .commit(epoch: known?.epoch ?? 1, processed)
            }
        requests.append(
            GroupRequest(
                number: lastRequest, origin: lastRequest, client: liar, key: victim.key,
                kind: kind, isLie: true))
    }
}
