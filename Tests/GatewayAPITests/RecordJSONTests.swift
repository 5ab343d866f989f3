import Backends
import GatewayAPI
import JSON
import TestSupport
import Testing

/// A record as plain values.
struct PlainRecord: Equatable {
    var timestamp: Int64 = 0
    var key: [UInt8]?
    var value: [UInt8]?
    var headers: [PlainHeader] = []

    /// Records of a batch.
    static func read(_ batch: consuming RecordBatchBuilder) throws -> [PlainRecord] {
        var reader = RecordBatchReader(batch.finish())
        var records: [PlainRecord] = []
        while let record = try reader.next() {
            let bytes = reader.bytes
            records.append(
                PlainRecord(
                    timestamp: record.timestamp, key: record.key.map { Array(bytes[$0]) },
                    value: record.value.map { Array(bytes[$0]) },
                    headers: reader.headers(of: record).map {
                        PlainHeader(
                            name: Array(bytes[$0.name]), value: $0.value.map { Array(bytes[$0]) })
                    }))
        }
        return records
    }

    func batch() -> RecordBatchBuilder {
        var headers = RecordHeaders()
        for header in self.headers {
            if let value = header.value {
                headers.append(name: header.name.span, value: value.span)
            } else {
                headers.append(name: header.name.span, value: nil)
            }
        }
        var batch = RecordBatchBuilder()
        let (key, value) = (key ?? [], value ?? [])
        batch.append(
            timestamp: timestamp, key: self.key == nil ? nil : key.span,
            value: self.value == nil ? nil : value.span, headers: headers)
        return batch
    }

    func json(_ form: RecordJSON.Form = .page, topic: String? = nil) throws -> String {
        var reader = RecordBatchReader(batch().finish())
        let record = try #require(try reader.next())
        var writer = JSONWriter()
        RecordJSON(partition: 0, topic: topic, form: form).write(record, of: reader, to: &writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    static func parse(_ json: String, topic: String = "t") throws -> PlainRecord {
        var reader = JSONReader(Array(json.utf8))
        var parser = RecordParser(topic: topic)
        let record = try parser.parse(&reader)
        try reader.end()
        var batch = RecordBatchBuilder()
        _ = batch.append(
            record, given: reader.bytes, decoded: parser.decoded, now: 7, limit: .max)
        return try #require(try read(batch).first)
    }
}

struct PlainHeader: Equatable {
    var name: [UInt8]
    var value: [UInt8]?

    init(name: [UInt8], value: [UInt8]?) {
        self.name = name
        self.value = value
    }

    init(_ name: String, _ value: String?) {
        self.init(name: Array(name.utf8), value: value.map { Array($0.utf8) })
    }
}

@Suite struct RecordJSONTests {
    let beginning = #"{"partition":0,"offset":0,"timestamp":0"#

    func record(_ value: String?, key: String? = nil, _ headers: [PlainHeader] = []) -> PlainRecord
    {
        PlainRecord(
            key: key.map { Array($0.utf8) }, value: value.map { Array($0.utf8) }, headers: headers)
    }

    @Test func `a value that is JSON stands as its own bytes`() throws {
        let value = #"{ "a" : 1.10, "a":1e400 ,"b":"\ud800\/"}"#
        #expect(try record(value).json() == beginning + #","value":\#(value)}"#)
        #expect(try record("0").json(topic: "t\"").hasPrefix(#"{"topic":"t\"","partition":0,"#))
    }

    @Test(arguments: [
        ("", "\"\""), ("null", "\"null\""), (" null\n", #"" null\n""#), ("nul", "\"nul\""),
        ("01", "\"01\""), ("{\"a\":1} {}", #""{\"a\":1} {}""#), ("a\u{0}é", #""a\u0000é""#),
    ])
    func `a value that is no JSON, or null, is text`(value: String, shown: String) throws {
        #expect(
            try record(value).json() == beginning + #","value":\#(shown),"valueEncoding":"text"}"#)
    }

    @Test func `bytes that are no UTF-8 are Base64`() throws {
        let binary = PlainRecord(
            key: [0xFF], value: [0xC0, 0x80],
            headers: [PlainHeader(name: Array("a".utf8), value: [0xFE])])
        #expect(
            try binary.json()
                == beginning
                + #","key":"/w==","keyEncoding":"base64","value":"wIA=","#
                + #""valueEncoding":"base64","headers":{"a":{"base64":"/g=="}}}"#
        )
    }

    @Test func `only a tombstone reads as null`() throws {
        #expect(try record(nil, key: "k").json() == beginning + #","key":"k","value":null}"#)
    }

    @Test func `an empty key is a key`() throws {
        #expect(try record("1", key: "").json() == beginning + #","key":"","value":1}"#)
    }

    @Test func `a line holds its record, a page keeps the bytes`() throws {
        let value = "{\r\n\"a\":\n1}"
        #expect(try record(value).json(.page).contains(value))
        #expect(try record(value).json(.line).contains("{  \"a\": 1}"))
        #expect(!(try record("a\r\nb").json(.line).contains("\n")))
    }

    @Test func `a repeated header is an array at its first place`() throws {
        let headers = [
            PlainHeader("a", "1"), PlainHeader("b", nil), PlainHeader("a", "2"),
            PlainHeader("", ""),
        ]
        #expect(
            try record("1", headers).json().hasSuffix(#""headers":{"a":["1","2"],"b":null,"":""}}"#)
        )
        let many = (0..<40).map { PlainHeader("h\($0 % 20)", "\($0)") }
        #expect(try record("1", many).json().contains(#""h0":["0","20"],"h1":["1","21"]"#))
    }

    /// Others may store such names; two that look alike must not make one JSON object's name twice.
    @Test func `a header's name that is no UTF-8 is shown and joined`() throws {
        let headers = [
            PlainHeader(name: [0xFF], value: [0x31]), PlainHeader(name: [0xFE], value: [0x32]),
        ]
        #expect(
            try record("1", key: nil, headers).json().hasSuffix(
                "\"headers\":{\"\u{FFFD}\":[\"1\",\"2\"]}}"))
    }

    /// Hostile strings after the Big List of Naughty Strings.
    @Test(arguments: [
        "undefined", "null", "\\", "\"", "'; DROP TABLE x--", "<script>alert(1)</script>", "\u{0}",
        "\u{7F}\u{80}\u{85}", "\u{FEFF}", "\u{202E}abc", "Ṱ̺̺̕o͞ ̷i̲̬͇̪͙n̝̗͕v̟̜̘̦͟o̶̙̰̠kè͚̮̺̪̹̱̤",
        "👩‍👩‍👧‍👦", "\u{FFFF}",
        "%00%0a", "../../etc/passwd", "\r\nSet-Cookie: a=b", "\u{2028}\u{2029}", "${jndi:ldap://x}",
        "{\"base64\":\"YQ==\"}", "١٢٣", "ﬀ", "\u{10FFFF}",
    ])
    func `hostile strings survive as key, value, header name and header value`(text: String) throws
    {
        let sent = record(text, key: text, [PlainHeader(text, text), PlainHeader(text + "2", nil)])
        for form in [RecordJSON.Form.page, .line] {
            let json = try sent.json(form, topic: "t")
            #expect(!json.utf8.contains(0x0A))
            #expect(try PlainRecord.parse(json) == sent)
        }
    }

    /// Whatever was read can be posted back unchanged.
    @Test(arguments: 0..<40)
    func `any record comes back as it was`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<100 {
            let sent = Self.arbitrary(&random)
            let json = try sent.json(random.below(2) == 0 ? .page : .line, topic: "t")
            #expect(isJSON(Array(json.utf8), in: 0..<json.utf8.count), "seed \(seed): \(json)")
            #expect(try PlainRecord.parse(json) == sent, "seed \(seed): \(json)")
        }
    }

    static func arbitrary(_ random: inout SeededRandom) -> PlainRecord {
        let jsons = [
            "1", "-0.0e-10", "\"\\ud800\"", "[]", "{\"a\":{\"a\":1,\"a\":2}}", "true", "[[[[]]]]",
            "123456789012345678901234567890", "\"é\"",
        ]
        func bytes() -> [UInt8] {
            let count = random.below(12)
            switch random.below(4) {
            case 0: return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            case 1: return (0..<count).map { _ in UInt8(random.below(128)) }
            case 2: return Array(jsons[random.below(jsons.count)].utf8)
            default:
                return Array(
                    "aé\"\\\n🙂".unicodeScalars.shuffled(using: &random).reduce(into: "") {
                        $0.unicodeScalars.append($1)
                    }.utf8)
            }
        }
        var names = Set<[UInt8]>()
        var headers: [PlainHeader] = []
        for _ in 0..<random.below(20) where random.below(3) == 0 {
            var name = bytes()
            while !isUTF8(name[...]) { name = bytes() }
            // Repeats in one run: those apart are gathered when they are read.
            guard names.insert(name).inserted else { continue }
            for _ in 0...random.below(3) {
                headers.append(PlainHeader(name: name, value: random.below(4) == 0 ? nil : bytes()))
            }
        }
        var value: [UInt8]? = random.below(6) == 0 ? nil : bytes()
        // White space around JSON is not kept, CR and LF within become spaces in lines.
        if let bytes = value, isJSON(bytes, in: 0..<bytes.count) {
            value = bytes.filter { $0 > 0x20 }
        }
        return PlainRecord(
            timestamp: Int64(truncatingIfNeeded: random.next() >> UInt64(1 + random.below(63))),
            key: random.below(2) == 0 ? nil : bytes(), value: value, headers: headers)
    }
}
