import Backends
import GatewayAPI
import JSON
import TestSupport
import Testing

@Suite struct PayloadTests {
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
    ])
    func `Base64 is that of RFC 4648 section 10`(plain: String, encoded: String) {
        var text: [UInt8] = []
        Base64.encode(Array(plain.utf8)[...], to: &text)
        #expect(String(decoding: text, as: UTF8.self) == encoded)
        var bytes: [UInt8] = []
        #expect(Base64.decode(Array(encoded.utf8)[...], to: &bytes))
        #expect(String(decoding: bytes, as: UTF8.self) == plain)
    }

    @Test(arguments: [
        "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Zm 8=", "Zm8=\n", "Zm-_", "====", "A===",
        "=Zg=", "Z\u{e9}=",
    ])
    func `what no encoder writes is no Base64`(text: String) {
        var bytes: [UInt8] = []
        #expect(!Base64.decode(Array(text.utf8)[...], to: &bytes))
    }

    @Test func `members may stand in any order, and names be escaped`() throws {
        let record = try PlainRecord.parse(
            #" {"valueEncoding":"base64","keyEncoding":"base64","#
                + #""v\u0061lue":"\u0041\/8=","offset":3,"partition":0,"topic":"\u0074","#
                + #""timestamp":5,"key":"/w=="} "#
        )
        #expect(record == PlainRecord(timestamp: 5, key: [0xFF], value: [0x03, 0xFF]))
    }

    @Test func `a record without timestamp has the time it came`() throws {
        #expect(try PlainRecord.parse(#"{"value":1}"#).timestamp == 7)
    }

    @Test func `a repeated header is an array of strings, objects and nulls`() throws {
        let record = try PlainRecord.parse(
            #"{"value":1,"headers":{"a":["x",null,{"base64":"/w=="}],"":"\u00e9"}}"#)
        #expect(
            record.headers == [
                PlainHeader("a", "x"), PlainHeader("a", nil),
                PlainHeader(name: [0x61], value: [0xFF]), PlainHeader("", "é"),
            ])
    }

    @Test func `a value keeps its bytes, lone surrogates too`() throws {
        let value = "{ \"a\" :\t[1.0, 1e400,\"\\ud800\"] }"
        let record = try PlainRecord.parse("{\"value\":  \(value)  }")
        #expect(record.value == Array(value.utf8))
    }

    /// RELIABILITY.md (c) 51: one bad request must not end the process.
    @Test(arguments: 0..<8)
    func `mutated bodies are refused or taken and never trap`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let bodies = [
            #"{"records":[{"key":"a\u00e9","value":{"a":[1,2]},"headers":{"a":["b","#
                + #"{"base64":"YQ=="},null]},"timestamp":1,"partition":2}]}"#,
            #"{"records":[{"value":"YQ==","valueEncoding":"base64","#
                + #""keyEncoding":"base64","key":"YWI="},{"value":null}]}"#,
        ]
        for _ in 0..<3000 {
            let body = random.mutated(Array(bodies[random.below(2)].utf8))
            var records = Self.records()
            do { try RecordsBody.parse(body, topic: "t", into: &records) } catch {
                #expect(error.code.status == 400 || error.code.status == 404)
            }
            var lines = RecordLines(topic: "t", lineLimit: 200)
            var numbers: [Int] = []
            var more = Self.records()
            do {
                try lines.take(body, into: &more, lines: &numbers)
                try lines.take(nil, into: &more, lines: &numbers)
            } catch { #expect(error.code.status >= 400) }
        }
    }

    static func records() -> PartitionedRecords {
        PartitionedRecords(.init(partitionCount: 4, now: 1, maxRecordBytes: 1000))
    }
}
