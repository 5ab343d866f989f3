import Backends
import GatewayAPI
import JSON
import TestSupport
import Testing

@Suite struct CloudEventsTests {
    let one = "application/cloudevents+json; charset=UTF-8"
    let batch = "application/cloudevents-batch+json"
    static let event = #"{ "specversion":"1.0", "id":"1","source":"/s","type":"t"}"#

    @Test func `a structured event is kept byte for byte`() throws {
        let harness = try ProduceHarness()
        let event =
            #"{"specversion":"1.0","id":"1","source":"/s","type":"t","#
            + #""partitionkey":"alic\u0065","data":{"a" : 1.0},"ext1":5,"ext2":true,"#
            + #""time":"2026-01-31T23:59:60.5+01:00"}"#
        let answer = harness.produce(" \(event)\n", type: one)
        #expect(answer.status == 200)
        #expect(answer.body == #"{"offsets":[{"partition":0,"offset":0}]}"#)
        #expect(
            harness.records()
                == #"{"partition":0,"offset":0,"timestamp":1700000000000,"key":"alice","#
                + #""value":\#(event),"#
                + #""headers":{"content-type":"application/cloudevents+json; charset=UTF-8"}}"#
        )
    }

    @Test func `each event of a batch is a record in structured mode`() throws {
        let harness = try ProduceHarness()
        let answer = harness.produce("[\(Self.event), \(Self.event)]", type: batch)
        #expect(
            answer.body == #"{"offsets":[{"partition":0,"offset":0},{"partition":0,"offset":1}]}"#)
        #expect(harness.records().contains("\"value\":\(Self.event)"))
        #expect(harness.produce("[]", type: batch).body == #"{"offsets":[]}"#)
    }

    @Test func `a bad event of a batch is named, and nothing is appended`() throws {
        let harness = try ProduceHarness()
        let answer = harness.produce("[\(Self.event),{\"specversion\":\"1.0\"}]", type: batch)
        #expect(answer.status == 400)
        #expect(answer.body.contains("invalid-cloudevent"))
        #expect(answer.body.contains(#""recordIndex":1"#))
        #expect(harness.topic.recordCount == 0)
    }

    @Test(arguments: [
        #"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#,
        #"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#,
        #"{"specversion":"1.0","id":1,"source":"/s","type":"t"}"#,
        #"{"specversion":"1.0","id":"1","source":"/s"}"#,
        #"{"specversion":"1.0","id":"1","source":null,"type":"t"}"#,
        #"{"specversion":"1.0","id":"1","source":"a b","type":"t"}"#,
        #"{"specversion":"1.0","id":"1","id":"1","source":"/s","type":"t"}"#,
        #"{"specversion":"1.0","id":"1","source":"/s","type":"t","Ext":"a"}"#,
        #"{"specversion":"1.0","id":"1","source":"/s","type":"t","my_ext":"a"}"#,
        #"{"specversion":"1.0","id":"1","source":"/s","type":"t","":"a"}"#,
        #"{"specversion":"1.0","id":"1","source":"/s","type":"t","ext":{}}"#,
        #"{"specversion":"1.0","id":"1","source":"/s","type":"t","ext":1.5}"#,
        #"{"specversion":"1.0","id":"1","source":"/s","type":"t","ext":2147483648}"#,
        #"{"specversion":"1.0","id":"1","source":"/s","type":"t","ext":"a\u0000"}"#,
        #"{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"yesterday"}"#,
        #"{"specversion":"1.0","id":"1","source":"/s","type":"t","partitionkey":""}"#,
        #"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1,"data_base64":"YQ=="}"#,
        #"{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"YQ"}"#,
        "[]", "1",
    ])
    func `what the specification does not allow is refused`(event: String) throws {
        let harness = try ProduceHarness()
        let answer = harness.produce(event, type: one)
        #expect(answer.status == 400)
        #expect(answer.body.contains("invalid-cloudevent"), "\(answer.body)")
        #expect(answer.body.contains("\"position\":"))
        #expect(harness.topic.recordCount == 0)
    }

    @Test func `in binary mode attributes become headers, and the body the value`() throws {
        let harness = try ProduceHarness()
        let head =
            "ce-specversion: 1.0\r\nCE-ID: a%20%E2%82%AC\r\nce-source: \"/s \\\"q\\\"\"\r\n"
            + "ce-type: t\r\nce-partitionkey: k\r\nce-myext: 5\r\n"
        let quoted = harness.produce("{}", head: head)
        #expect(quoted.status == 400)
        let answer = harness.produce(
            "{\"a\":1}", type: "application/json", head: head.replacing("/s \\\"q\\\"", with: "/s"))
        #expect(answer.status == 200, "\(answer.body)")
        #expect(
            harness.records()
                == #"{"partition":0,"offset":0,"timestamp":1700000000000,"key":"k","#
                + #""value":{"a":1},"headers":{"ce_specversion":"1.0","ce_id":"a €","#
                + #""ce_source":"/s","ce_type":"t","ce_partitionkey":"k","ce_myext":"5","#
                + #""content-type":"application/json"}}"#
        )
    }

    /// Kafka binding §3.2.2: no data is no value; data of no bytes is an empty value.
    @Test func `an event without data is a record without value`() throws {
        let harness = try ProduceHarness()
        #expect(harness.produce("", type: nil, head: required).status == 200)
        #expect(harness.produce("", type: "text/plain", head: required).status == 200)
        #expect(harness.records().contains(#""offset":0,"timestamp":1700000000000,"value":null"#))
        #expect(harness.records().contains(#""offset":1,"timestamp":1700000000000,"value":"""#))
    }

    @Test(arguments: [
        "ce-id: 1\r\nce-source: /s\r\nce-type: t\r\n",
        "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\n",
        "ce-specversion: 1.0\r\nce-id: %zz\r\nce-source: /s\r\nce-type: t\r\n",
        "ce-specversion: 1.0\r\nce-id: %C0%A0\r\nce-source: /s\r\nce-type: t\r\n",
        "ce-specversion: 1.0\r\nce-id: %00\r\nce-source: /s\r\nce-type: t\r\n",
        "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\nce-my-ext: t\r\n",
        "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\nce-data: t\r\n",
        "ce-specversion: 1.0\r\nce-id: 1\r\nce-id: 2\r\nce-source: /s\r\nce-type: t\r\n",
        "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\n"
            + "ce-datacontenttype: a/b\r\n",
    ])
    func `bad attributes in headers are refused and not stored`(head: String) throws {
        let harness = try ProduceHarness()
        let answer = harness.produce("x", type: "text/plain", head: head)
        #expect(answer.status == 400)
        #expect(answer.body.contains("invalid-cloudevent"))
        #expect(answer.body.contains(#""field":"ce-"#))
        #expect(harness.topic.recordCount == 0)
    }

    @Test(arguments: [
        ("2026-02-28T00:00:00Z", true), ("2024-02-29t23:59:59z", true),
        ("2026-02-29T00:00:00Z", false), ("1900-02-29T00:00:00Z", false),
        ("2026-01-01T24:00:00Z", false), ("2026-01-01T00:00:00", false),
        ("2026-01-01T00:00:00.Z", false), ("2026-01-01T00:00:00+24:00", false),
        ("2026-01-01T00:00:00.123456789-23:59", true), ("2026-01-01 00:00:00Z", false),
        ("2026-13-01T00:00:00Z", false), ("2026-01-01T00:00:00Zx", false), ("", false),
    ])
    func `a time is one of RFC 3339`(time: String, isTaken: Bool) throws {
        let event = #"{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"\#(time)"}"#
        var records = PayloadTests.records()
        if isTaken {
            try EventsBody.parseOne(Array(event.utf8), into: &records)
        } else {
            #expect(throws: Problem.self) {
                try EventsBody.parseOne(Array(event.utf8), into: &records)
            }
        }
    }

    @Test(arguments: 0..<4)
    func `mutated events are refused or taken and never trap`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let event =
            #"[{"specversion":"1.0","id":"\u00e91","source":"/s","type":"t","#
            + #""time":"2026-01-01T00:00:00.5+01:00","data_base64":"YWI=","ext":-5,"#
            + #""partitionkey":"é"}]"#
        for _ in 0..<3000 {
            var records = PayloadTests.records()
            do {
                try EventsBody.parseBatch(random.mutated(Array(event.utf8)), into: &records)
            } catch { #expect(error.code.status == 400) }
        }
    }

    private var required: String {
        "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\n"
    }
}
