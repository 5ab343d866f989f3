import HTTPServer
import TestSupport
import Testing

@Suite struct `Chunk decoder` {
    enum Verdict: Equatable {
        case done(body: String, rest: Int)
        case needMore(body: String)
        case failed(ProtocolProblem)
    }

    /// Hands `text` over in pieces of `piece` bytes, as a connection would.
    private func decode(
        _ text: String, piece: Int = .max, most: Int = .max, limits: Limits = Limits()
    ) -> Verdict {
        var decoder = ChunkDecoder(limits)
        var input: [UInt8] = []
        var position = 0
        var body: [UInt8] = []
        var rest = Array(text.utf8)[...]
        do {
            repeat {
                input += rest.prefix(piece)
                rest = rest.dropFirst(piece)
                while let range = try decoder.next(input, at: &position, most: most) {
                    guard range.count <= most else { return .failed(.handlerFailed) }
                    body += input[range]
                }
            } while !decoder.isDone && !rest.isEmpty
        } catch {
            return .failed(error)
        }
        let content = String(decoding: body, as: UTF8.self)
        guard decoder.isDone else { return .needMore(body: content) }
        return .done(body: content, rest: input.count - position + rest.count)
    }

    private let cases: [(text: String, verdict: Verdict)] = [
        ("0\r\n\r\n", .done(body: "", rest: 0)),
        ("3\r\nabc\r\n0\r\n\r\n", .done(body: "abc", rest: 0)),
        ("3\r\nabc\r\n0\r\n\r\nGET", .done(body: "abc", rest: 3)),
        (
            "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
            .done(body: "01234567890123456789", rest: 0)
        ),
        ("0003\r\nabc\r\n000\r\n\r\n", .done(body: "abc", rest: 0)),
        ("3;a\r\nabc\r\n0;b=c;d=\"e\\\"\r\"\r\n\r\n", .failed(.malformedRequest)),
        ("3;a;b=c;d=\"e;\\\"f\"\r\nabc\r\n0\r\n\r\n", .done(body: "abc", rest: 0)),
        ("1\r\na\r\n0\r\nX: y\r\nContent-Length: 9\r\n\r\n", .done(body: "a", rest: 0)),
        ("3\r\nab", .needMore(body: "ab")),
        ("0\r\nX: y\r\n", .needMore(body: "")),
        ("", .needMore(body: "")),
        ("\r\n", .failed(.malformedRequest)),
        ("3\nabc\r\n", .failed(.malformedRequest)),
        ("3\r\nabcd\r\n", .failed(.malformedRequest)),
        ("3\r\nabc\n0\r\n\r\n", .failed(.malformedRequest)),
        ("3 \r\nabc\r\n", .failed(.malformedRequest)),
        ("+3\r\nabc\r\n", .failed(.malformedRequest)),
        ("0x3\r\nabc\r\n", .failed(.malformedRequest)),
        ("-1\r\n", .failed(.malformedRequest)),
        ("3;\r\nabc\r\n", .failed(.malformedRequest)),
        ("3;=b\r\nabc\r\n", .failed(.malformedRequest)),
        ("3;a=\r\nabc\r\n", .failed(.malformedRequest)),
        ("3;a\nabc\r\n", .failed(.malformedRequest)),
        ("0\r\nX : y\r\n\r\n", .failed(.malformedRequest)),
        ("0\r\n: y\r\n\r\n", .failed(.malformedRequest)),
        ("0\r\nX: y\n\r\n", .failed(.malformedRequest)),
        ("0\r\n\rX", .failed(.malformedRequest)),
        ("7fffffffffffffff\r\n", .failed(.chunkTooLarge)),
        ("ffffffffffffffff\r\n", .failed(.chunkTooLarge)),
        ("00000000000000000\r\n", .failed(.malformedRequest)),
    ]

    @Test func `a body gets one verdict, however it is cut and however little is taken at a time`()
    {
        for (text, verdict) in cases {
            for piece in [.max, 1, 2, 3, 5] {
                for most in [.max, 1, 2] {
                    #expect(
                        decode(text, piece: piece, most: most) == verdict,
                        "\(text.debugDescription)")
                }
            }
        }
    }

    @Test func `a size over the limit is refused at its digits, before the line ends`() {
        #expect(decode("40000001") == .failed(.chunkTooLarge))
        #expect(decode("40000000") == .needMore(body: ""))
    }

    @Test func `extensions are limited for the whole body and not for each chunk`() {
        let chunk = "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na\r\n"
        #expect(
            decode(String(repeating: chunk, count: 31))
                == .needMore(body: String(repeating: "a", count: 31)))
        #expect(decode(String(repeating: chunk, count: 40)) == .failed(.malformedRequest))
    }

    @Test func `endless trailers are refused by count and by bytes`() {
        #expect(decode("0\r\n" + String(repeating: "a: b\r\n", count: 100)) == .needMore(body: ""))
        #expect(
            decode("0\r\n" + String(repeating: "a: b\r\n", count: 101)) == .failed(.headTooLarge))
        #expect(
            decode("0\r\na: " + String(repeating: "b", count: 33 << 10)) == .failed(.headTooLarge))
    }

    /// Cut anywhere: what comes out of mutated bytes is the same, and nothing traps.
    @Test func `mutated bodies get one verdict however they are cut`() {
        var random = SeededRandom(seed: 7)
        for round in 0..<20_000 {
            let bytes = random.mutated(Array(cases[round % cases.count].text.utf8))
            let text = String(decoding: bytes, as: UTF8.self)
            let whole = decode(text)
            #expect(decode(text, piece: 1) == whole, "\(text.debugDescription)")
            #expect(decode(text, piece: 1 + random.below(8), most: 1 + random.below(4)) == whole)
        }
    }
}
