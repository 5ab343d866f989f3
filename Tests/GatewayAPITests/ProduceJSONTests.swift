import Backends
import GatewayAPI
import Testing

@Suite struct ProduceJSONTests {
    @Test func `one record is answered with its partition and offset`() throws {
        let harness = try ProduceHarness()
        let answer = harness.produce(#"{"records":[{"value":{"a": 1}}]}"#)
        #expect(answer.status == 200)
        #expect(answer.body == #"{"offsets":[{"partition":0,"offset":0}]}"#)
        #expect(answer.head.contains("content-type: application/json"))
        #expect(
            harness.records()
                == #"{"partition":0,"offset":0,"timestamp":1700000000000,"value":{"a": 1}}"#)
    }

    /// It is read beside the event loop; the answer is the loop's again, which is asserted there.
    @Test func `a large body is answered as a small one, also where its last record is bad`() throws
    {
        let harness = try ProduceHarness()
        let records = String(repeating: #"{"value":1},"#, count: 20_000)
        let refused = harness.produce(#"{"records":[\#(records){"x":1}]}"#)
        #expect(refused.status == 400)
        #expect(refused.body.contains(#""recordIndex":20000"#))
        let answer = harness.produce(#"{"records":[\#(records){"value":2}]}"#)
        #expect(answer.status == 200)
        #expect(answer.body.hasSuffix(#"{"partition":0,"offset":20000}]}"#))
    }

    @Test func `offsets stand in the order of the records over several partitions`() throws {
        let harness = try ProduceHarness(partitions: 3)
        let answer = harness.produce(
            #"{"records":[{"value":1,"partition":2},{"value":2,"partition":0},"#
                + #"{"value":3,"partition":2}]}"#
        )
        #expect(
            answer.body
                == #"{"offsets":[{"partition":2,"offset":0},{"partition":0,"offset":0},"#
                + #"{"partition":2,"offset":1}]}"#
        )
    }

    @Test func `a key goes where Kafka's partitioner puts it`() throws {
        let harness = try ProduceHarness(partitions: 7)
        let answer = harness.produce(
            #"{"records":[{"key":"alice","value":1},{"key":"al\u0069ce","value":1},"#
                + #"{"value":1,"key":"YWxpY2U=","keyEncoding":"base64"}]}"#
        )
        let places = answer.body.split(separator: #""partition":"#).dropFirst().map { $0.first }
        #expect(Set(places).count == 1)
        #expect(places.count == 3)
    }

    @Test func `records without key go to one partition a request, and requests take turns`() throws
    {
        let harness = try ProduceHarness(partitions: 4)
        for _ in 0..<40 {
            let answer = harness.produce(#"{"records":[{"value":1},{"value":2}]}"#)
            let places = answer.body.split(separator: #""partition":"#).dropFirst().map { $0.first }
            #expect(Set(places).count == 1)
        }
        let ends = harness.topic.state.withLock { $0.ends }
        #expect(ends.allSatisfy { $0 > 0 })
    }

    @Test func `nothing is appended where one record of a batch is wrong`() throws {
        let harness = try ProduceHarness(partitions: 2)
        let answer = harness.produce(
            #"{"records":[{"value":1,"partition":0},{"value":1,"partition":1},{"valu":2}]}"#)
        #expect(answer.status == 400)
        #expect(answer.body.contains(#""code":"unknown-field""#))
        #expect(answer.body.contains(#""recordIndex":2"#))
        #expect(answer.body.contains(#""field":"valu""#))
        #expect(answer.body.contains(#""position":66"#))
        #expect(harness.topic.recordCount == 0)
    }

    @Test(arguments: [
        ("", "invalid-json"), ("{}", "missing-field"), ("[]", "invalid-field"),
        (#"{"records":{}}"#, "invalid-field"), (#"{"records":[1]}"#, "invalid-field"),
        (#"{"records":[]} x"#, "invalid-json"), (#"{"records":[],"records":[]}"#, "invalid-field"),
        (#"{"records":[],"a":1}"#, "unknown-field"), (#"{"records":[{}]}"#, "missing-field"),
        (#"{"records":[{"value":1,}]}"#, "invalid-json"),
        (#"{"records":[{"value":01}]}"#, "invalid-json"),
        (#"{"records":[{"value":1,"value":1}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"partition":1}]}"#, "unknown-partition"),
        (#"{"records":[{"value":1,"partition":-1}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"partition":1e0}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"key":1}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"key":"\ud800"}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"topic":"u"}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"timestamp":-1}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"timestamp":9223372036854775808}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"valueEncoding":"text"}]}"#, "invalid-field"),
        (#"{"records":[{"value":"a","valueEncoding":"hex"}]}"#, "invalid-field"),
        (#"{"records":[{"value":"a","valueEncoding":"base64"}]}"#, "invalid-field"),
        (#"{"records":[{"value":"\udc00","valueEncoding":"text"}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"headers":[]}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"headers":{"a":1}}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"headers":{"a":[]}}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"headers":{"a":[["b"]]}}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"headers":{"a":"b","a":"c"}}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"headers":{"a":{"base64":"YQ"}}}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"headers":{"a":{}}}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"headers":{"a\udfff":"b"}}]}"#, "invalid-field"),
        (#"{"records":[{"value":1,"headers":{"a":"\ud83d"}}]}"#, "invalid-field"),
    ])
    func `a bad body is refused with its code and nothing is appended`(body: String, code: String)
        throws
    {
        let harness = try ProduceHarness()
        let answer = harness.produce(body)
        #expect(answer.status == (code == "unknown-partition" ? 404 : 400))
        #expect(answer.body.contains("\"code\":\"\(code)\""), "\(answer.body)")
        #expect(answer.body.contains("\"position\":"))
        #expect(harness.topic.recordCount == 0)
    }

    @Test func `null stands for a member left out, but a null value is a tombstone`() throws {
        let harness = try ProduceHarness()
        let answer = harness.produce(
            #"{"records":[{"key":null,"headers":null,"timestamp":null,"partition":null,"#
                + #""value":null}]}"#
        )
        #expect(answer.status == 200)
        #expect(
            harness.records()
                == #"{"partition":0,"offset":0,"timestamp":1700000000000,"value":null}"#)
    }

    @Test func `no records are no mistake`() throws {
        let harness = try ProduceHarness()
        let answer = harness.produce(#"{"records":[]}"#)
        #expect(answer.status == 200)
        #expect(answer.body == #"{"offsets":[]}"#)
    }

    @Test func `the query's partition and key are those of records that have none`() throws {
        let harness = try ProduceHarness(partitions: 3)
        let answer = harness.produce(
            #"{"records":[{"value":1},{"value":2,"key":"k","partition":2}]}"#,
            query: "?partition=1&key=a%26b")
        #expect(
            answer.body
                == #"{"offsets":[{"partition":1,"offset":0},{"partition":2,"offset":0}]}"#)
        #expect(harness.records(1).contains(#""key":"a&b""#))
        #expect(harness.records(2).contains(#""key":"k""#))
        #expect(harness.produce("", query: "?partition=3").status == 404)
        #expect(harness.produce("", query: "?partition=x").status == 400)
    }

    @Test func `with acks none nothing is told, with leader and all the offset is`() throws {
        let harness = try ProduceHarness()
        let body = #"{"records":[{"value":1}]}"#
        let none = harness.produce(body, query: "?acks=none")
        #expect(none.status == 202)
        #expect(none.body == "")
        #expect(harness.produce(body, query: "?acks=leader").body.contains(#""offset":1"#))
        #expect(harness.produce(body, query: "?acks=all").body.contains(#""offset":2"#))
        #expect(harness.produce(body, query: "?acks=0").status == 400)
    }

    @Test func `after a failure of one partition every record's fate is told`() throws {
        let harness = try ProduceHarness(partitions: 2)
        harness.topic.state.withLock { $0.acknowledgeErrors[1] = .partitionFailed("EIO") }
        let answer = harness.produce(
            #"{"records":[{"value":1,"partition":0},{"value":2,"partition":1},"#
                + #"{"value":3,"partition":0}]}"#
        )
        #expect(answer.status == 503)
        #expect(answer.body.contains(#""code":"partition-failed""#))
        #expect(answer.body.contains(#""retryable":false"#))
        #expect(
            answer.body.contains(
                #""results":[{"partition":0,"offset":0},{"partition":1,"#
                    + #""code":"partition-failed"},{"partition":0,"offset":1}]"#
            ))
    }

    @Test(arguments: [
        (BackendError.storageFull, 507), (.notReady("closing"), 503),
        (.damaged(at: Offset(3), "x"), 500),
        (.storage("x"), 500), (.unknownTopic("t"), 404), (.limitReached("x"), 429),
    ])
    func `what the backend cannot do is answered with its status`(error: BackendError, status: Int)
        throws
    {
        let harness = try ProduceHarness()
        harness.topic.state.withLock { $0.appendErrors[0] = error }
        #expect(harness.produce(#"{"records":[{"value":1}]}"#).status == status)
        #expect(harness.produce("a", type: "text/plain").status == status)
        let lines = harness.produce(#"{"value":1}"#, type: "application/x-ndjson")
        #expect(lines.status == status)
        #expect(lines.body.contains(#""line":1"#))
        #expect(lines.body.contains(#""recordCount":0"#))
    }
}
