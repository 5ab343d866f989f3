import Backends
import TestSupport
import Testing

struct LagTests {
    private typealias Seam = BackendConformance

    /// Runs `body` with a topic of three records a second apart, the last one just now.
    private func withTopic(
        _ body: (any Topic, ManualTime) async throws -> Void
    ) async throws {
        let time = ManualTime()
        try await EmbeddedHarness.withDirectory(time: time) { harness in
            try await harness.run { backend in
                let topic = try await Seam.create(backend, "t")
                for index in 0..<3 {
                    if index > 0 { time.advance(by: .seconds(1)) }
                    try await Seam.append(["x"], to: topic, timestamp: time.wallMilliseconds())
                }
                try await body(topic, time)
            }
        }
    }

    @Test
    func `lag counts records to the high watermark, and the age of the first of them`()
        async throws
    {
        try await withTopic { topic, time in
            let behind = try await Lag.measure(topic, 0, committed: Offset(1), time: time)
            #expect(behind == Lag(endOffset: Offset(3), records: 2, milliseconds: 1000))
            time.advance(by: .seconds(5))
            let caughtUp = try await Lag.measure(topic, 0, committed: Offset(3), time: time)
            #expect(caughtUp == Lag(endOffset: Offset(3), records: 0, milliseconds: 0))
        }
    }

    /// Pitfall 49.
    @Test
    func `behind the log start lag counts from there, not from what was committed`() async throws {
        try await withTopic { topic, time in
            _ = try await topic.deleteRecords(0, before: Offset(2))
            let lag = try await Lag.measure(topic, 0, committed: Offset(0), time: time)
            #expect(lag == Lag(endOffset: Offset(3), records: 1, milliseconds: 0))
            _ = try await topic.deleteRecords(0, before: Offset(3))
            let none = try await Lag.measure(topic, 0, committed: Offset(0), time: time)
            #expect(none == Lag(endOffset: Offset(3), records: 0, milliseconds: 0))
        }
    }

    /// Pitfall 51: a client chose the timestamp.
    @Test(arguments: [Int64.min, .max, -1, 0])
    func `no timestamp makes an age that is negative or none at all`(timestamp: Int64) async throws
    {
        try await withTopic { topic, time in
            try await Seam.append(["x"], to: topic, timestamp: timestamp)
            let lag = try await Lag.measure(topic, 0, committed: Offset(3), time: time)
            #expect(lag.records == 1)
            #expect(lag.milliseconds >= 0)
        }
    }
}
