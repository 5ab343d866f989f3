import Backends
import GatewayAPI
import TestSupport
import Testing

@Suite struct ProduceLinesTests {
    let ndjson = "application/x-ndjson"

    @Test func `lines are appended and summed up at the end`() throws {
        let harness = try ProduceHarness(partitions: 3)
        let answer = harness.produce(
            "{\"value\":1,\"partition\":2}\r\n\n \t\r\n{\"value\":2,\"partition\":0}\n"
                + "{\"value\":3,\"partition\":2}",
            type: ndjson)
        #expect(answer.status == 200)
        #expect(
            answer.body
                == #"{"recordCount":3,"partitions":[{"partition":0,"firstOffset":0,"#
                + #""lastOffset":0},{"partition":2,"firstOffset":0,"lastOffset":1}]}"#
        )
    }

    @Test func `no lines are no mistake`() throws {
        let harness = try ProduceHarness()
        #expect(harness.produce("", type: ndjson).body == #"{"recordCount":0,"partitions":[]}"#)
        #expect(harness.produce("\n\n", type: ndjson).status == 200)
        #expect(
            harness.produce("", type: ndjson, head: "Accept: application/x-ndjson\r\n").status
                == 200)
    }

    @Test func `a bad line stops the body and says what stands before it`() throws {
        let harness = try ProduceHarness()
        let answer = harness.produce(
            "{\"value\":1}\n\n{\"value\":2}\n{\"value\":3,}\n{\"value\":4}\n", type: ndjson)
        #expect(answer.status == 400)
        #expect(answer.body.contains(#""code":"invalid-json""#))
        #expect(answer.body.contains(#""line":4,"position":11"#))
        #expect(
            answer.body.contains(
                #""recordCount":2,"partitions":[{"partition":0,"firstOffset":0,"lastOffset":1}]"#))
        #expect(harness.topic.recordCount == 2)
    }

    @Test func `a record that is too large stops at its line, and those before it stay`() throws {
        let harness = try ProduceHarness()
        harness.topic.state.withLock { $0.configuration.maxRecordBytes = 100 }
        let large = String(repeating: "x", count: 100)
        let answer = harness.produce("{\"value\":1}\n{\"value\":\"\(large)\"}\n", type: ndjson)
        #expect(answer.status == 413)
        #expect(answer.body.contains(#""line":2"#))
        #expect(answer.body.contains(#""limit":100"#))
        #expect(harness.topic.recordCount == 1)
    }

    @Test func `a line without end is cut off at its limit and not held`() throws {
        let harness = try ProduceHarness()
        harness.topic.state.withLock { $0.configuration.maxRecordBytes = 100 }
        let answer = harness.produce(
            [UInt8](repeating: 0x61, count: 300_000), type: ndjson)
        #expect(answer.status == 413)
        #expect(answer.body.contains("record-too-large"))
        #expect(answer.body.contains(#""line":1"#))
    }

    @Test func `a long body is written in few batches`() throws {
        let harness = try ProduceHarness()
        let body = (0..<20_000).map { "{\"value\":\($0)}\n" }.joined()
        let answer = harness.produce(body, type: ndjson)
        #expect(answer.body.contains(#""recordCount":20000"#))
        #expect(answer.body.contains(#""lastOffset":19999"#))
        #expect(harness.topic.state.withLock { $0.batches[0].count } < 100)
    }

    @Test func `acknowledgement lines stand in the order of the records`() throws {
        let harness = try ProduceHarness(partitions: 2)
        let body = (0..<3000).map { "{\"value\":\($0),\"partition\":\($0 % 2)}\n" }.joined()
        let answer = harness.produce(body, type: ndjson, head: "Accept: application/x-ndjson\r\n")
        #expect(answer.status == 200)
        #expect(answer.head.contains("content-type: application/x-ndjson"))
        let expected = (0..<3000).map { "{\"partition\":\($0 % 2),\"offset\":\($0 / 2)}\n" }
            .joined()
        #expect(answer.body == expected)
    }

    @Test func `a line is acknowledged before the next one is sent`() throws {
        let harness = try ProduceHarness()
        let client = RawClient(port: harness.port)
        client.send(head)
        for offset in 0..<5 {
            client.send(chunk("{\"value\":\(offset)}\n"))
            #expect(
                client.receive(until: "\"offset\":\(offset)}").contains("\"offset\":\(offset)}"))
        }
        client.send("0\r\n\r\n")
        #expect(client.receive(until: "0\r\n\r\n").contains("0\r\n\r\n"))
    }

    @Test func `reading goes on while acknowledgements are awaited`() throws {
        let harness = try ProduceHarness()
        harness.topic.state.withLock { $0.holdsAcknowledgements = true }
        let client = RawClient(port: harness.port)
        client.send(head)
        for index in 0..<3 {
            client.send(chunk("{\"value\":\(index)}\n"))
            while harness.topic.recordCount <= index {}
        }
        harness.topic.letAcknowledge()
        #expect(client.receive(until: "\"offset\":2}").contains("\"offset\":2}"))
    }

    /// Bounded in flight: a client that sends for ever without being acknowledged is held.
    @Test func `no more than 64 parts are read ahead of their acknowledgements`() throws {
        let harness = try ProduceHarness()
        harness.topic.state.withLock { $0.holdsAcknowledgements = true }
        let client = RawClient(port: harness.port)
        client.send(head)
        for index in 0..<64 {
            client.send(chunk("{\"value\":\(index)}\n"))
            while harness.topic.recordCount <= index {}
        }
        for index in 64..<70 { client.send(chunk("{\"value\":\(index)}\n")) }
        // Another connection of the same loop is answered behind what was sent before.
        #expect(harness.produce("", query: "?partition=1").status == 404)
        #expect(harness.topic.recordCount == 64)
        harness.topic.letAcknowledge()
        #expect(client.receive(until: "\"offset\":69}").contains("\"offset\":69}"))
    }

    @Test func `a client that goes away leaves its records and nothing else`() throws {
        let harness = try ProduceHarness()
        harness.topic.state.withLock { $0.holdsAcknowledgements = true }
        do {
            let client = RawClient(port: harness.port)
            client.send(head)
            client.send(chunk("{\"value\":1}\n"))
            while harness.topic.recordCount == 0 {}
        }
        harness.topic.letAcknowledge()
        #expect(harness.produce("{\"value\":2}", type: ndjson).body.contains("\"firstOffset\":1"))
    }

    @Test func `a bad line behind acknowledged ones is the last line`() throws {
        let harness = try ProduceHarness()
        let client = RawClient(port: harness.port)
        client.send(head)
        client.send(chunk("{\"value\":0}\n"))
        _ = client.receive(until: "\"offset\":0}")
        client.send(chunk("{\"value\":1}\n{\"value\":}\n"))
        let rest = client.receive(until: "0\r\n\r\n")
        #expect(rest.contains("{\"partition\":0,\"offset\":1}\n"))
        #expect(rest.contains(#"{"problem":{"type":"#))
        #expect(rest.contains(#""line":3"#))
        #expect(rest.contains(#""recordCount":2"#))
    }

    @Test func `a bad first line has its own status`() throws {
        let harness = try ProduceHarness()
        let answer = harness.produce(
            "x\n{\"value\":1}\n", type: ndjson, head: "Accept: application/x-ndjson\r\n")
        #expect(answer.status == 400)
        #expect(answer.body.contains(#""recordCount":0"#))
    }

    @Test func `a failed partition ends the lines with its problem`() throws {
        let harness = try ProduceHarness(partitions: 2)
        harness.topic.state.withLock { $0.acknowledgeErrors[1] = .partitionFailed("EIO") }
        let client = RawClient(port: harness.port)
        client.send(head)
        client.send(chunk("{\"value\":0,\"partition\":0}\n{\"value\":1,\"partition\":1}\n"))
        // The client goes on waiting for its lines; the problem comes without more from it.
        let answer = client.receive(until: "0\r\n\r\n")
        #expect(answer.contains("{\"partition\":0,\"offset\":0}\n"))
        #expect(answer.contains(#""code":"partition-failed""#))
        #expect(answer.contains(#""line":2"#))
    }

    @Test(arguments: [1, 2, 7, 64])
    func `lines are the same however the bytes arrive`(piece: Int) throws {
        let text = Array(
            "{\"value\":1}\r\n\n{\"value\":\"a\\n\u{e9}\"}\n  {\"key\":\"k\",\"value\":null}".utf8)
        var lines = RecordLines(topic: "t", lineLimit: 1000)
        var records = PartitionedRecords(
            .init(partitionCount: 1, now: 5, maxRecordBytes: 1000))
        var numbers: [Int] = []
        var start = 0
        while start < text.count {
            let end = min(start + piece, text.count)
            try lines.take(Array(text[start..<end]), into: &records, lines: &numbers)
            start = end
        }
        try lines.take(nil, into: &records, lines: &numbers)
        #expect(numbers == [1, 3, 4])
        var reader = RecordBatchReader(records.takeBatch(0).finish())
        var values: [String?] = []
        while let record = try reader.next() {
            values.append(record.value.map { String(decoding: reader.bytes[$0], as: UTF8.self) })
        }
        #expect(values == ["1", "\"a\\n\u{e9}\"", nil])
    }

    private var head: String {
        "POST /v1/topics/t/records HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n"
            + "Accept: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    }

    private func chunk(_ text: String) -> String {
        "\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n"
    }
}
