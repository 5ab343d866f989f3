import Foundation
import HTTPServer
import TestSupport
import Testing

/// The request vectors of RELIABILITY.md (d), and the smuggling mutations, over real sockets:
/// behind each stands a canary that must be answered after a good request and must not be after a
/// bad one.
@Suite(.serialized) struct `HTTP/1.1 vectors` {
    struct Vector: Decodable {
        var id: String
        var expect: String
        var raw: String
    }

    private func vectors() throws -> [Vector] {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Vectors/http1_vectors.json")
        return try JSONDecoder().decode([Vector].self, from: Data(contentsOf: file))
    }

    private func isRight(_ expect: String, _ statuses: [Int], closed: Bool) -> Bool {
        let first = statuses.first
        switch expect {
        case "accept":
            return statuses.count == 2 && ![400, 411, 413, 414, 431, 501, 505].contains(first)
        case "reject":
            return statuses.count <= 1 && closed && (first == nil || first! >= 400 || first == -1)
        case "either": return statuses.count <= 2
        default:
            return expect.dropFirst(7).split(separator: ",").contains { Int($0) == first }
        }
    }

    @Test(arguments: [Int.max, 1, 7])
    func `all 490 vectors get their verdict, however they are cut`(piece: Int) throws {
        let server = try TestServer()
        let vectors = try vectors()
        #expect(vectors.count == 490)
        for vector in vectors {
            let raw = vector.raw.unicodeScalars.map { UInt8($0.value) } + Array(canary.utf8)
            let client = RawClient(port: server.port)
            client.send(raw, piece: raw.count > 4096 ? max(piece, 4096) : piece)
            let answers = statuses(of: client.receiveAll())
            #expect(
                isRight(vector.expect, answers, closed: client.isClosedByPeer),
                "\(vector.id): \(answers)")
        }
    }

    @Test(.enabled(if: SharedTestData.isPresent, "shared/testdata is absent"))
    func `none of the 668 Transfer-Encoding mutations hides a request`() throws {
        let file = try #require(
            SharedTestData.files("smuggler").first { $0.name == "te_mutations.json" })
        let mutations = try JSONDecoder().decode([String: String].self, from: Data(file.bytes))
        #expect(mutations.count == 668)
        let server = try TestServer()
        for (name, field) in mutations {
            let head =
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\(field)\r\n\r\n0\r\n\r\n"
            let client = RawClient(port: server.port)
            client.send(
                head.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) } + Array(canary.utf8)
            )
            let answers = statuses(of: client.receiveAll())
            // Refused whole, or read by its Content-Length with the canary as the second request.
            // A content coding that is none is refused by whoever reads the body.
            let first = name == "contentEnc" ? 413 : 200
            let isByLength = answers == [first, 200]
            let isRefused = answers.count == 1 && answers[0] >= 400
            #expect(isByLength || isRefused, "\(name): \(answers)")
        }
    }

    @Test func `the parser's verdict does not depend on where the bytes are cut`() throws {
        for vector in try vectors() {
            let raw = vector.raw.unicodeScalars.map { UInt8($0.value) }
            guard raw.count < 4096 else { continue }
            var head = RequestHead()
            var whole = HeadParser(Limits())
            let verdict = whole.advance(raw, from: 0, into: &head)
            var cut = HeadParser(Limits())
            var last = HeadParser.Outcome.needMore
            for end in 1...raw.count {
                last = cut.advance(Array(raw[..<end]), from: 0, into: &head)
                if last != .needMore { break }
            }
            #expect(last == verdict, "\(vector.id)")
        }
    }

    @Test func `mutated heads and chunks never trap`() throws {
        var random = SeededRandom(seed: 11)
        let vectors = try vectors().map { $0.raw.unicodeScalars.map { UInt8($0.value) } }
            .filter { $0.count < 2048 }
        for round in 0..<30_000 {
            let bytes = random.mutated(vectors[round % vectors.count])
            var head = RequestHead()
            var parser = HeadParser(Limits())
            guard case .complete(let end) = parser.advance(bytes, from: 0, into: &head) else {
                continue
            }
            var position = end
            var chunks = ChunkDecoder(Limits())
            while let range = try? chunks.next(bytes, at: &position, most: 64) {
                #expect(range.upperBound <= bytes.count)
            }
        }
    }
}
