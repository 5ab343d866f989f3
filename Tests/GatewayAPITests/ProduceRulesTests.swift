import GatewayAPI
import Platform
import Synchronization
import Testing

/// Header fields that make a produce safe to repeat, over a topic in memory.
@Suite struct ProduceRulesTests {
    private static let body = #"{"records":[{"value":1},{"key":"a","value":2},{"value":3}]}"#

    private static func key(_ key: String) -> String { "Idempotency-Key: \(key)\r\n" }

    private static func producer(_ sequence: Int, epoch: Int = 0, id: Int64 = 9) -> String {
        "Producer-Id: \(id)\r\nProducer-Epoch: \(epoch)\r\nProducer-Sequence: \(sequence)\r\n"
    }

    /// Pitfall 46: the answer was lost, and the client tries again.
    @Test(arguments: [1, 4])
    func `the same key and request are answered alike and append once`(partitions: Int) throws {
        let harness = try ProduceHarness(partitions: partitions)
        let first = harness.produce(Self.body, head: Self.key("k"))
        #expect(first.status == 200)
        #expect(!first.head.contains("idempotent-replayed"))
        for _ in 0..<3 {
            let again = harness.produce(Self.body, head: Self.key("k"))
            #expect(again.status == 200)
            #expect(again.body == first.body)
            #expect(again.head.contains("idempotent-replayed: true"))
        }
        #expect(harness.topic.recordCount == 3)
        #expect(harness.produce(Self.body, head: Self.key("other")).body != first.body)
        #expect(harness.topic.recordCount == 6)
    }

    @Test func `the key with another body, query, type or attribute is 422`() throws {
        let harness = try ProduceHarness(partitions: 2)
        let head = Self.key("k")
        #expect(harness.produce("a", type: "text/plain", head: head).status == 200)
        let event = head + "ce-id: 1\r\nce-source: s\r\nce-type: t\r\nce-specversion: 1.0\r\n"
        for answer in [
            harness.produce("b", type: "text/plain", head: head),
            harness.produce("a", type: "text/html", head: head),
            harness.produce("a", type: "text/plain", query: "?key=x", head: head),
            harness.produce("a", type: "text/plain", query: "?partition=1", head: head),
            harness.produce("a", type: "text/plain", head: event),
            harness.produce(Self.body, head: head),
        ] {
            #expect(answer.status == 422, "\(answer)")
            #expect(answer.body.contains("idempotency-key-reused"))
        }
        #expect(harness.topic.recordCount == 1)
        #expect(harness.produce("a", type: "text/plain", head: head).status == 200)
    }

    /// Each try is traced as itself, and what is in the log says which one wrote it.
    @Test func `a retry with another traceparent is replayed, and the first one's is kept`() throws
    {
        func trace(_ number: Int) -> String {
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-000000000000000\(number)-01\r\n"
        }
        for (head, query) in [
            (Self.key("k"), ""), (Self.producer(0), "?partition=0"),
            ("If-End-Offset: 0\r\n", "?partition=0"),
        ] {
            let harness = try ProduceHarness()
            let first = harness.produce(Self.body, query: query, head: head + trace(1))
            #expect(first.status == 200)
            let kept = harness.records()
            #expect(kept.split(separator: "000000000000000").count == 4, "\(kept)")
            if !head.hasPrefix("If-") {
                let again = harness.produce(Self.body, query: query, head: head + trace(2))
                #expect(again.body == first.body)
                #expect(again.head.contains("idempotent-replayed: true"))
                #expect(harness.produce(Self.body, query: query, head: head).status == 200)
            }
            #expect(harness.topic.recordCount == 3)
            #expect(harness.records() == kept)
        }
    }

    @Test func `a try that was refused does not use the key up`() throws {
        let harness = try ProduceHarness()
        let head = Self.key("k")
        #expect(harness.produce(#"{"records":[{"value":}]}"#, head: head).status == 400)
        harness.topic.state.withLock { $0.appendErrors[0] = .storageFull }
        #expect(harness.produce(Self.body, head: head).status == 507)
        harness.topic.state.withLock { $0.appendErrors = [:] }
        let answer = harness.produce(Self.body, head: head)
        #expect(answer.status == 200)
        #expect(!answer.head.contains("idempotent-replayed"))
    }

    /// A failure between two partitions: the retry appends only what is missing, where the first
    /// try would have, though the topic has grown meanwhile.
    @Test func `a retry completes a request that was cut between partitions`() throws {
        let records = (0..<40).map { #"{"key":"key \#($0)","value":\#($0)}"# } + [#"{"value":40}"#]
        let body = #"{"records":[\#(records.joined(separator: ","))]}"#
        let whole = try ProduceHarness(partitions: 3)
        let wanted = whole.produce(body, head: Self.key("k")).body
        for failing in 0..<3 {
            let harness = try ProduceHarness(partitions: 3)
            harness.topic.state.withLock { $0.appendErrors[failing] = .storageFull }
            #expect(harness.produce(body, head: Self.key("k")).status == 507)
            #expect(harness.topic.recordCount > 0)
            harness.topic.state.withLock {
                $0.appendErrors = [:]
                $0.batches.append([])
                $0.ends.append(0)
            }
            let answer = harness.produce(body, head: Self.key("k"))
            #expect(answer.status == 200)
            #expect(answer.body == wanted)
            #expect(harness.topic.recordCount == 41)
            #expect(harness.records(3).isEmpty)
        }
    }

    /// On threads of its own: what waits for the pool that runs tests may wait long.
    @Test func `a second try while the first is on its way waits for it`() throws {
        let harness = try ProduceHarness()
        harness.topic.state.withLock { $0.holdsAcknowledgements = true }
        let answers = Answers()
        for _ in 0..<3 {
            clients.run { answers.add(harness.produce(Self.body, head: Self.key("k"))) }
        }
        while harness.topic.state.withLock({ $0.waiting.isEmpty }) {
            pauseThread(for: .milliseconds(1))
        }
        // Time for the others to come, too; should they not, they find it done.
        pauseThread(for: .milliseconds(50))
        #expect(harness.topic.state.withLock { $0.waiting.count } == 1)
        harness.topic.letAcknowledge()
        while answers.all.count < 3 { pauseThread(for: .milliseconds(1)) }
        #expect(answers.all.map(\.status) == [200, 200, 200])
        #expect(Set(answers.all.map(\.body)).count == 1)
        #expect(answers.all.count { $0.head.contains("idempotent-replayed") } == 2)
        #expect(harness.topic.recordCount == 3)
    }

    @Test func `a producer's repetition is replayed, a gap 409, an old epoch 403`() throws {
        let harness = try ProduceHarness(partitions: 2)
        func send(_ sequence: Int, epoch: Int = 0) -> ProduceHarness.Answer {
            harness.produce(
                Self.body, query: "?partition=1", head: Self.producer(sequence, epoch: epoch))
        }
        let first = send(0)
        #expect(first.status == 200)
        let again = send(0)
        #expect(again.body == first.body)
        #expect(again.head.contains("idempotent-replayed: true"))
        #expect(send(3).status == 200)
        let gap = send(9)
        #expect(gap.status == 409)
        #expect(gap.body.contains(#""code":"out-of-order-sequence""#))
        #expect(gap.body.contains(#""expectedSequence":6"#))
        #expect(send(6, epoch: 1).status == 409)
        #expect(send(0, epoch: 1).status == 200)
        let old = send(6)
        #expect(old.status == 403)
        #expect(old.body.contains(#""code":"producer-fenced""#))
        #expect(old.body.contains(#""currentEpoch":1"#))
        #expect(harness.topic.recordCount == 9)
    }

    @Test func `a producer nobody knows begins with 0`() throws {
        let harness = try ProduceHarness()
        let answer = harness.produce(Self.body, query: "?partition=0", head: Self.producer(5))
        #expect(answer.status == 409)
        #expect(answer.body.contains(#""code":"unknown-producer""#))
    }

    @Test func `an end offset is met, or 412 with the right one`() throws {
        let harness = try ProduceHarness()
        func send(_ offset: Int) -> ProduceHarness.Answer {
            harness.produce(
                Self.body, query: "?partition=0", head: "If-End-Offset: \(offset)\r\n")
        }
        #expect(send(0).status == 200)
        let answer = send(0)
        #expect(answer.status == 412)
        #expect(answer.body.contains(#""code":"end-offset-mismatch""#))
        #expect(answer.body.contains(#""endOffset":3"#))
        #expect(send(3).status == 200)
        #expect(harness.topic.recordCount == 6)
    }

    /// A lost answer and a retry: the key is looked at before the end offset.
    @Test func `a repetition with an end offset is replayed and not refused`() throws {
        let harness = try ProduceHarness()
        let head = Self.key("k") + "If-End-Offset: 0\r\n"
        let first = harness.produce(Self.body, query: "?partition=0", head: head)
        let again = harness.produce(Self.body, query: "?partition=0", head: head)
        #expect((first.status, again.status) == (200, 200))
        #expect(again.body == first.body)
    }

    @Test(arguments: [
        ("", key(String(repeating: "k", count: 129))), ("", "Idempotency-Key:\r\n"),
        ("?partition=0", "Producer-Id: 1\r\n"),
        ("?partition=0", "Producer-Id: 1\r\nProducer-Epoch: 0\r\n"),
        ("?partition=0", producer(0, id: 1 << 62)), ("?partition=0", producer(1 << 31)),
        ("?partition=0", producer(0, epoch: 32768)), ("?partition=0", producer(-1)),
        ("", producer(0)), ("?partition=0", key("k") + producer(0)),
        ("", "If-End-Offset: 0\r\n"), ("?partition=0", "If-End-Offset: x\r\n"),
        ("?partition=0", "If-End-Offset: 9223372036854775808\r\n"),
    ])
    func `fields that cannot be meant are 400 and append nothing`(query: String, head: String)
        throws
    {
        let harness = try ProduceHarness()
        let answer = harness.produce(Self.body, query: query, head: head)
        #expect(answer.status == 400)
        #expect(answer.body.contains(#""code":"invalid-header""#), "\(answer)")
        #expect(harness.topic.recordCount == 0)
    }

    @Test(arguments: [key("k"), producer(0), "If-End-Offset: 0\r\n"])
    func `lines are appended as they come and take none of it`(head: String) throws {
        let harness = try ProduceHarness()
        let answer = harness.produce(
            "{\"value\":1}\n", type: "application/x-ndjson", query: "?partition=0", head: head)
        #expect(answer.status == 400)
        #expect(harness.topic.recordCount == 0)
    }

    @Test func `a producer's records all go to the partition of the query`() throws {
        let harness = try ProduceHarness(partitions: 2)
        for body in [#"{"records":[{"value":1,"partition":0}]}"#, #"{"records":[]}"#] {
            let answer = harness.produce(body, query: "?partition=1", head: Self.producer(0))
            #expect(answer.status == 400, "\(answer)")
        }
        #expect(harness.topic.recordCount == 0)
    }
}

private let clients = WorkerPool(name: "clients", limit: 8)

private final class Answers: Sendable {
    private let answers = Mutex<[ProduceHarness.Answer]>([])

    var all: [ProduceHarness.Answer] { answers.withLock { $0 } }
    func add(_ answer: ProduceHarness.Answer) { answers.withLock { $0.append(answer) } }
}
