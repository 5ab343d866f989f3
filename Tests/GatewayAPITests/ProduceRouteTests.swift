import GatewayAPI
import Testing

@Suite struct ProduceRouteTests {
    @Test func `any other body is the value byte for byte, with its media type`() throws {
        let harness = try ProduceHarness()
        #expect(harness.produce([0, 255, 10], type: "image/png").status == 200)
        #expect(harness.produce(" {\"a\":1}\n", type: "text/plain", query: "?key=k").status == 200)
        #expect(harness.produce("", type: nil).status == 200)
        #expect(harness.produce("null", type: nil).status == 200)
        let records = harness.records()
        #expect(
            records.contains(
                #""value":"AP8K","valueEncoding":"base64","headers":{"content-type":"image/png"}"#))
        #expect(
            records.contains(
                "\"key\":\"k\",\"value\": {\"a\":1}\n,\"headers\":{\"content-type\":\"text/plain\"}"
            ))
        #expect(
            records.contains(
                #""offset":2,"timestamp":1700000000000,"value":"","valueEncoding":"text"}"#))
        #expect(records.contains(#""value":"null","valueEncoding":"text"}"#))
    }

    @Test func `a content coding is refused, identity is none`() throws {
        let harness = try ProduceHarness()
        let body = #"{"records":[{"value":1}]}"#
        #expect(harness.produce(body, head: "Content-Encoding: br\r\n").status == 415)
        #expect(harness.produce(body, head: "Content-Encoding: Identity\r\n").status == 200)
    }

    @Test func `JSON in another charset is refused, a raw body may have any`() throws {
        let harness = try ProduceHarness()
        let body = #"{"records":[{"value":1}]}"#
        #expect(harness.produce(body, type: "application/json; charset=UTF-8").status == 200)
        #expect(harness.produce(body, type: "Application/JSON;charset=latin1").status == 415)
        #expect(harness.produce(body, type: "text/plain;charset=latin1").status == 200)
        #expect(harness.produce(body, type: "application/cloudevents+avro").status == 415)
    }

    @Test func `what is too large is 413, and says the limit`() throws {
        let harness = try ProduceHarness { $0.maxBodyBytes = 1000 }
        let large = harness.produce([UInt8](repeating: 0x20, count: 1001))
        #expect(large.status == 413)
        #expect(large.body.contains("body-too-large"))
        #expect(large.body.contains(#""limit":1000"#))
        harness.topic.state.withLock { $0.configuration.maxRecordBytes = 100 }
        let value = String(repeating: "x", count: 100)
        let record = harness.produce(#"{"records":[{"value":1},{"value":"\#(value)"}]}"#)
        #expect(record.status == 413)
        #expect(record.body.contains("record-too-large"))
        #expect(record.body.contains(#""recordIndex":1"#))
        #expect(record.body.contains(#""limit":100"#))
        #expect(harness.produce(value, type: "text/plain").status == 413)
        #expect(harness.topic.recordCount == 0)
    }

    @Test func `an unknown topic is 404, or created where the operator allows it`() throws {
        let closed = try ProduceHarness()
        #expect(closed.produce("a", type: "a/b", topic: "new").status == 404)
        let open = try ProduceHarness { $0.autoCreatePartitions = 3 }
        #expect(open.produce("a", type: "a/b", topic: "new").status == 200)
        #expect(open.backend.all.withLock { $0["new"]?.partitionCount } == 3)
        #expect(open.produce("a", type: "a/b", topic: "a%20b").status == 400)
        #expect(open.produce("a", type: "a/b", topic: "__x").status == 403)
    }

    @Test func `an Accept that names no form of ours is 406`() throws {
        let harness = try ProduceHarness()
        let body = #"{"records":[{"value":1}]}"#
        #expect(harness.produce(body, head: "Accept: */*\r\n").status == 200)
        #expect(
            harness.produce(body, head: "Accept: text/html, application/*;q=0.1\r\n").status == 200)
        #expect(harness.produce(body, head: "Accept: text/html\r\n").status == 406)
        #expect(harness.produce(body, head: "Accept: application/json;q=0, */*\r\n").status == 406)
        #expect(harness.topic.recordCount == 2)
    }

    @Test func `a page's records can be posted back as they were read`() throws {
        let first = try ProduceHarness(partitions: 2)
        #expect(first.produce([0xFF, 0], type: "a/b", query: "?partition=1&key=k").status == 200)
        let bodies = [
            #"{"value":null,"key":"a","partition":1,"timestamp":5}"#,
            #"{"value":"text","valueEncoding":"text","headers":{"h":["1",null]},"partition":1}"#,
            #"{"value":{"a" : [1.0]},"partition":1}"#,
        ]
        let sent = first.produce("{\"records\":[\(bodies.joined(separator: ","))]}")
        #expect(sent.status == 200, "\(sent.body)")
        let second = try ProduceHarness(partitions: 2)
        second.time.advance(by: .seconds(9))
        let records = first.records(1)
        #expect(second.produce("{\"records\":[\(records)]}").status == 200)
        #expect(second.records(1) == records)
        #expect(records.contains(#""offset":3"#))
    }
}
