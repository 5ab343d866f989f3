import Backends
import GatewayAPI
import TestSupport
import Testing

@Suite struct `A cursor` {
    @Test(arguments: [
        "", "0:17", "0:17,1:44~0123abcd", "orders/0:17,audit/3:0", "~0123abcd",
        "audit/3:0,orders/0:17,orders/1:0~0123abcd.89ab0000",
    ])
    func `comes back as it was written`(text: String) throws {
        #expect(try Cursor(parsing: text).text == text)
    }

    @Test(arguments: [
        "0", "0:", ":1", "0:-1", "-1:0", "+0:1", "0:1,", ",0:1", "0:1,0:2", "0:1;1:2", "a:1",
        "0: 1",
        "0:9223372036854775808", "2147483648:0", "0:1~", "0:1~0123ABCD", "0:1~0123abc",
        "0:1~0123abcd~", "0:1~0123abcd.0123abcd", "a/0:1,b/0:1~0123abcd", "0:1~0123abcd.", "0:1~.",
    ])
    func `that is none is refused as such`(text: String) {
        do throws(Problem) {
            _ = try Cursor(parsing: text)
            Issue.record("taken: \(text)")
        } catch {
            #expect(error.code == .invalidCursor)
        }
    }

    @Test func `with more entries than the limit is refused, and not read on`() {
        let text = (0...20_000).map { "\($0):0" }.joined(separator: ",")
        #expect(throws: Problem.self) { try Cursor(parsing: text) }
    }

    @Test func `under mutation never traps, and what is taken is written as it means`() throws {
        var random = SeededRandom(seed: 3)
        for _ in 0..<20_000 {
            let bytes = random.mutated(Array("orders/0:17,orders/1:44,2:9~0123abcd.456789ab".utf8))
            let text = String(decoding: bytes, as: UTF8.self)
            guard let cursor = try? Cursor(parsing: text) else { continue }
            #expect(try Cursor(parsing: cursor.text) == cursor)
        }
    }
}

@Suite struct `The route tree` {
    private func match(_ path: String) -> RouteTree.Match? {
        let bytes = Array(path.utf8)
        return RouteTree().match(bytes, path: 0..<bytes.count)
    }

    @Test func `finds every route under its own template`() {
        for route in Route.allCases {
            let path = route.template.replacing("{topic}", with: "a.b").replacing(
                "{group}", with: "g"
            )
            .replacing("{partition}", with: "7")
            #expect(match(path)?.route(for: route.method) == route)
        }
    }

    @Test(arguments: [
        "/", "/v1", "/v1/", "/v1/topics/", "/v1/topics//records", "/v1/topics/a/records/",
        "/v2/topics",
        "/v1/%74opics", "/v1/topics/a/partitions/0", "/livez/x", "//v1/topics",
    ])
    func `finds nothing where nothing is`(path: String) {
        #expect(match(path) == nil)
    }

    @Test func `tells where the names stand, undecoded`() throws {
        let path = "/v1/topics/a%20b/partitions/12/records"
        let found = try #require(match(path))
        let bytes = Array(path.utf8)
        #expect(String(decoding: bytes[found.first], as: UTF8.self) == "a%20b")
        #expect(String(decoding: bytes[found.second], as: UTF8.self) == "12")
        #expect(found.route(for: .head) == .readPartition)
        #expect(found.route(for: .post) == nil)
    }
}
