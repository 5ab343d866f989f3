import Backends
import Platform
import Testing

/// Cleaning of the state log: what a replay gives is the same before and after, at any moment of
/// it.
struct StateLogTests {
    /// The latest value of each key, as a coordinator would have it.
    private func state(
        _ log: any StateLog, _ shard: Int = 0
    ) async throws -> (state: [[UInt8]: [UInt8]], recordCount: Int) {
        var state: [[UInt8]: [UInt8]] = [:]
        var count = 0
        try await log.replay(shard) { records in
            for record in records { state[record.key] = record.value }
            count += records.count
        }
        return (state, count)
    }

    /// Ten keys, many times; two of them ended.
    private func fill(_ log: any StateLog, rounds: Int = 20) async throws {
        for round in 0..<rounds {
            let records = (0..<10).map {
                StateRecord(key: [$0], value: [UInt8(truncatingIfNeeded: round)])
            }
            _ = try log.append(records, to: 0)
        }
        let ended = [3, 4].map { StateRecord(key: [$0], value: nil) }
        try await log.durable(try log.append(ended, to: 0))
    }

    private func embedded(_ backend: EmbeddedBackend) throws -> EmbeddedStateLog {
        try #require(backend.stateLog as? EmbeddedStateLog)
    }

    @Test
    func `cleaning keeps the state and drops the rest, over a restart too`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            var before: [[UInt8]: [UInt8]] = [:]
            try await harness.run { backend in
                let log = try embedded(backend)
                try await fill(log)
                before = try await state(log).state
                #expect(before.count == 8)
                try await log.clean(0)
                let after = try await state(log)
                #expect(after.state == before)
                #expect(after.recordCount == 8)
            }
            try await harness.run { backend in
                let log = try embedded(backend)
                #expect(try await state(log).state == before)
                _ = try log.append([StateRecord(key: [3], value: [1])], to: 0)
                try await log.clean(0)
                #expect(try await state(log).recordCount == 9)
            }
        }
    }

    @Test
    func `a shard that nobody ended is cleaned by itself when garbage outweighs it`()
        async throws
    {
        try await EmbeddedHarness.withDirectory { harness in
            try await harness.run { backend in
                let log = try embedded(backend)
                let rounds = Limits.stateGarbageRecords / 10
                try await fill(log, rounds: rounds - 1)
                await backend.maintain()
                #expect(try await state(log).recordCount == Limits.stateGarbageRecords - 8)
                try await fill(log, rounds: 2)
                await backend.maintain()
                #expect(try await state(log).recordCount == 8)
            }
        }
    }

    /// New records of a key must not be overruled by the older one that cleaning writes behind
    /// them.
    @Test
    func `cleaning while others append never brings an old value back`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            try await harness.run { backend in
                let log = try embedded(backend)
                try await fill(log)
                let last = try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { for _ in 0..<20 { try await log.clean(0) } }
                    var last: [[UInt8]: [UInt8]] = try await state(log).state
                    for number in 0..<2000 {
                        let key: [UInt8] = [UInt8(number % 13)]
                        let value: [UInt8]? =
                            number % 7 == 0 ? nil : [UInt8(number & 255), UInt8(number >> 8)]
                        _ = try log.append([StateRecord(key: key, value: value)], to: 0)
                        last[key] = value
                        if number % 10 == 0 { await Task.yield() }
                    }
                    try await group.waitForAll()
                    return last
                }
                try await log.durable(try log.append([], to: 0))
                #expect(try await state(log).state == last)
            }
            try await harness.run { _ in }
        }
    }

    /// Pitfall 35, at every step: a kill in cleaning leaves a log that replays to the same state.
    @Test
    func `a kill at any step of cleaning changes nothing`() async throws {
        var failing = 0
        var hasFailed = true
        while hasFailed {
            try await EmbeddedHarness.withDirectory { harness in
                let disk = FailingDisk(SystemDisk(), .from(failing), isArmed: false)
                let backend = try await harness.started(disk: disk, locks: false)
                let log = try embedded(backend)
                try await fill(log, rounds: 3)
                let before = try await state(log).state
                disk.arm()
                do {
                    try await log.clean(0)
                    hasFailed = disk.operationCount > failing
                } catch { hasFailed = true }
                // Nobody closes what is killed.
                let after = try await harness.started(locks: false)
                #expect(try await state(after.stateLog).state == before, "step \(failing)")
                try await after.close()
            }
            failing += 1
        }
        #expect(failing > 4)
    }

    /// Pitfall 31.
    @Test
    func `a shard that was emptied is replayed to its end, which is its start`() async throws {
        try await EmbeddedHarness.withDirectory { harness in
            try await harness.run { backend in
                let log = try embedded(backend)
                let ticket = try log.append([StateRecord(key: [1], value: nil)], to: 0)
                try await log.durable(ticket)
                try await log.clean(0)
                #expect(try await state(log).recordCount == 0)
                try await log.clean(0)
            }
            try await harness.run { backend in
                let count = try await state(backend.stateLog).recordCount
                #expect(count == 0)
            }
        }
    }
}
