import HTTPServer
import TestSupport
import Testing

@Suite struct `Values of a head` {
    @Test(arguments: [
        "a", "localhost:8080", "example.com", "a_b-c.d~", "127.0.0.1:1", "[::1]", "[::1]:65535",
        "a:",
        "[::ffff:127.0.0.1]:80",
    ])
    func `a host is taken`(text: String) {
        #expect(Host.isValid(Array(text.utf8)[...]))
    }

    @Test(arguments: [
        "", ":80", "a:b", "a:65536", "a:123456", "a:-1", "u@a", "a b", "a,b", "a/b", "a?b", "a#b",
        "[::1",
        "::1", "[]", "[]:80", "[g::1]", "[::1]a", "[::1]:x", "a%41", "a\u{0}", "é",
    ])
    func `a host is refused`(text: String) {
        #expect(!Host.isValid(Array(text.utf8)[...]))
    }

    @Test(
        arguments: [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            // The example of RFC 9110 §5.6.7.
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (-1, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] as [(Int64, String)])
    func `a date is written as RFC 9110 has it`(seconds: Int64, text: String) {
        #expect(HTTPDate.text(secondsSince1970: seconds) == text)
    }

    private func parse(_ text: String, _ limits: Limits = Limits()) -> (
        HeadParser.Outcome, RequestHead
    ) {
        var head = RequestHead()
        var parser = HeadParser(limits)
        return (parser.advance(Array(text.utf8), from: 0, into: &head), head)
    }

    /// A framing field that is looked up at a wrong place hides a request.
    @Test func `a field is found behind more than 255 others`() throws {
        var limits = Limits()
        limits.fieldCount = 1000
        let fields = (0..<600).map { "X-\($0): a\r\n" }.joined()
        let text = "POST / HTTP/1.1\r\nHost: a\r\n\(fields)Content-Length: 5\r\n\r\n"
        let (outcome, head) = parse(text, limits)
        #expect(outcome == .complete(byteCount: text.utf8.count))
        let length = try #require(head.value(of: .contentLength))
        #expect(head.bytes[length].elementsEqual("5".utf8))
    }

    @Test func `the head's limits are met exactly`() {
        func fields(_ count: Int) -> String {
            "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "a: b\r\n", count: count - 1)
                + "\r\n"
        }
        #expect(parse(fields(100)).0 == .complete(byteCount: fields(100).utf8.count))
        #expect(parse(fields(101)).0 == .failed(.headTooLarge))
        #expect(parse("GET /" + String(repeating: "a", count: 8100)).0 == .needMore)
        #expect(parse("GET /" + String(repeating: "a", count: 8200)).0 == .failed(.targetTooLong))
        #expect(
            parse("GET / HTTP/1.1\r\na: " + String(repeating: "b", count: 32 << 10)).0
                == .failed(.headTooLarge))
    }

    @Test func `target and query are split, and an absolute target is the path behind its host`()
        throws
    {
        for (target, path, query) in [
            ("/a?b=c?d", "/a", "b=c?d"), ("/", "/", nil), ("/?", "/", ""), ("http://a", "/", nil),
            ("http://a?x", "/", "x"), ("HTTP://A/b%20c", "/b%20c", nil),
        ] as [(String, String, String?)] {
            let (outcome, head) = parse("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
            guard case .complete = outcome else {
                Issue.record("\(target): \(outcome)")
                continue
            }
            #expect(head.bytes[head.path].elementsEqual(path.utf8), "\(target)")
            #expect(
                head.query.map { String(decoding: head.bytes[$0], as: UTF8.self) } == query,
                "\(target)")
        }
    }
}
