import Platform

/// What a join, a poll and a rebalance take, and how that grows with members and with groups. A
/// call that changes a group waits for a sync.
struct BenchGroups {
    private static let partitions = 1000

    private let client: BenchClient

    init(_ server: BenchServer) throws(Failure) {
        client = try BenchClient(port: server.port)
        for (topic, partitions) in [("wide", Self.partitions), ("narrow", 1)] {
            _ = try call("PUT", "/v1/topics/\(topic)", "{\"partitions\":\(partitions)}")
        }
    }

    func run() throws(Failure) {
        printLine("\n| Work on groups | Median of a call |")
        printLine("|---|---|")
        for members in [10, 100, 1000] { try oneGroup(members) }
        for groups in [100, 1000, 10_000] { try manyGroups(groups) }
    }

    /// A group on 1,000 partitions. Half of its members join, all poll until they have their share,
    /// and the rest joins one by one: what is told is of the last tenth.
    private func oneGroup(_ count: Int) throws(Failure) {
        let group = "wide-\(count)"
        var epochs: [Int64] = []
        let measured = max(5, count / 10)
        for member in 0..<count - measured {
            epochs.append(try join(group, "m\(member)", "wide"))
        }
        try settle(group, &epochs)
        try measure("join a group of \(count) members", measured) { () throws(Failure) in
            epochs.append(try join(group, "m\(epochs.count)", "wide"))
        }
        try settle(group, &epochs)
        var next = 0
        try measure("poll in a group of \(count) members", 200) { () throws(Failure) in
            next = (next + 7) % count
            _ = try poll(group, "m\(next)", epochs[next])
        }
        try measure("leave a group of \(count) members", 5) { () throws(Failure) in
            let leaving = "m\(epochs.count - 1)"
            epochs.removeLast()
            _ = try call("DELETE", "/v1/groups/\(group)/members/\(leaving)", "")
        }
        try measure("all of \(epochs.count) members have their share again", 1) {
            () throws(Failure) in try settle(group, &epochs)
        }
    }

    private func manyGroups(_ count: Int) throws(Failure) {
        var epochs: [Int64] = []
        for group in 0..<count - 50 {
            epochs.append(try join("narrow-\(count)-\(group)", "m", "narrow"))
        }
        try measure("join the last of \(count) groups", 50) { () throws(Failure) in
            epochs.append(try join("narrow-\(count)-\(epochs.count)", "m", "narrow"))
        }
        var next = 0
        try measure("poll in one of \(count) groups", 200) { () throws(Failure) in
            next = (next + 7919) % count
            _ = try poll("narrow-\(count)-\(next)", "m", epochs[next])
        }
    }

    /// Everybody polls until a whole round changes nothing.
    private func settle(_ group: String, _ epochs: inout [Int64]) throws(Failure) {
        var hasChanged = true
        while hasChanged {
            hasChanged = false
            for member in epochs.indices {
                let epoch = try poll(group, "m\(member)", epochs[member])
                if epoch != epochs[member] { hasChanged = true }
                epochs[member] = epoch
            }
        }
    }

    // MARK: - Calls

    private func join(_ group: String, _ member: String, _ topic: String) throws(Failure) -> Int64 {
        let body =
            "{\"topics\":[\"\(topic)\"],\"memberId\":\"\(member)\",\"sessionTimeoutMs\":1800000}"
        return try epoch(call("POST", "/v1/groups/\(group)/members", body))
    }

    private func poll(_ group: String, _ member: String, _ epoch: Int64) throws(Failure) -> Int64 {
        let path = "/v1/groups/\(group)/members/\(member)/poll"
        return try self.epoch(call("POST", path, "{\"memberEpoch\":\(epoch)}"))
    }

    private func call(
        _ method: String, _ path: String, _ body: String
    ) throws(Failure) -> ArraySlice<UInt8> {
        let answer = try client.exchange(
            BenchRequest(method: method, path: path, body: body).bytes)
        guard (200..<300).contains(answer.status) else {
            throw Failure("\(method) \(path): \(answer.status)")
        }
        return answer.body
    }

    private func epoch(_ answer: ArraySlice<UInt8>) throws(Failure) -> Int64 {
        guard let epoch = numbers(after: "\"memberEpoch\":", in: answer).first else {
            throw Failure("no memberEpoch: \(String(decoding: answer, as: UTF8.self))")
        }
        return Int64(epoch)
    }

    private func measure(
        _ work: String, _ count: Int, _ body: () throws(Failure) -> Void
    ) throws(Failure) {
        var times: [Int64] = []
        for _ in 0..<count {
            let started = SystemTime().now().nanoseconds
            try body()
            times.append(SystemTime().now().nanoseconds - started)
        }
        printLine("| \(work) | \(times.sorted()[count / 2] / 1000) µs |")
    }
}
