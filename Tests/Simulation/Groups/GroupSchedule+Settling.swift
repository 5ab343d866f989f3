import Groups

extension GroupSchedule {
    /// Nothing fails any more, nobody joins, leaves or changes its mind: who polls goes on polling,
    /// who is silent stays silent. Within session and rebalance timeout all is in order again.
    mutating func settle() throws(Broken) {
        requests = []
        answers = []
        var speakers: Set<MemberKey> = []
        for index in consumers.indices {
            let isSilent = consumers[index].phase == .silent || consumers[index].phase == .out
            if isSilent || consumers[index].habit == .liar
                || !speakers.insert(consumers[index].key).inserted
            {
                consumers[index].phase = .silent
            } else {
                consumers[index].phase = .idle
            }
        }
        let stuck = consumers.count { $0.habit == .heartbeatOnly && $0.phase == .idle }
        // Each of those who only heartbeat may be waited for behind the other.
        let bound = Duration.seconds(10 + 1 + 1) + .seconds(10 + 1) * (stuck + 1)
        let end = model.awake + bound
        while let complaint {
            guard model.awake < end else { throw Broken("not in order again: \(complaint)") }
            try advance(.milliseconds(300))
            for index in consumers.indices where consumers[index].phase == .idle {
                try speak(index)
            }
            try checkBeliefs()
        }
    }

    private mutating func speak(_ index: Int) throws(Broken) {
        let epoch = consumers[index].epoch
        if consumers[index].habit == .heartbeatOnly {
            send(index, .heartbeat(epoch: epoch))
        } else {
            send(index, .poll(epoch: epoch, []))
        }
        let request = requests.removeLast()
        try handle(request)
        server.sync()
        consumers[index].receive(answers.removeLast())
        if consumers[index].phase == .out { consumers[index].phase = .silent }
    }

    /// What is not in order; nil where all is.
    private var complaint: String? {
        for id in Self.groups {
            guard let group = server.shard.state.groups[id], !group.members.isEmpty else {
                continue
            }
            if let complaint = Settled(group: group, topics: topics).complaint {
                return "\(id.name): \(complaint)"
            }
        }
        return nil
    }
}
