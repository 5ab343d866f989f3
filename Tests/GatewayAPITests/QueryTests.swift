import GatewayAPI
import Testing

@Suite struct QueryTests {
    func query(_ text: String, _ names: [String] = ["acks", "partition", "key"]) throws -> Query {
        let bytes = Array("?\(text)".utf8)
        return try Query(bytes, in: 1..<bytes.count, names: names)
    }

    func code(_ text: String) -> ProblemCode? {
        do {
            _ = try query(text)
            return nil
        } catch { return (error as? Problem)?.code }
    }

    @Test func `a value is decoded once, and a plus is a space`() throws {
        let query = try query("key=a%2Bb+c%2525%C3%A9&acks=&partition=7&")
        #expect(query.text("key") == "a+b c%25é")
        #expect(query.bytes("acks") == [])
        #expect(try query.integer("partition") == 7)
        #expect(try self.query("").bytes("key") == nil)
    }

    @Test(arguments: [
        "key=%", "key=%4", "key=%zz", "key=%00", "key=%0A", "key=%7F", "key=%FF", "key=%C0%80",
        "key=%ED%A0%80", "key=1&key=1", "%6Bey=1&key=2",
    ])
    func `what no value may hold is refused and not repaired`(text: String) {
        #expect(code(text) == .invalidParameter)
    }

    @Test(arguments: ["offset=1", "=1", "Key=1", "key2=1", "k%65yy=2"])
    func `a parameter the route does not know is refused by name`(text: String) {
        #expect(code(text) == .unknownParameter)
    }

    @Test(arguments: [
        "", "-1", "+1", "1.0", "1e3", " 1", "0x1", "9223372036854775808", "99999999999999999999",
        "x",
    ])
    func `a number must be digits that fit in 64 bits`(value: String) throws {
        let encoded = value.replacing("+", with: "%2B").replacing(" ", with: "+")
        let query = try query("partition=\(encoded)")
        #expect(throws: Problem.self) { try query.integer("partition") }
    }

    @Test func `a number out of its range names the range`() throws {
        let query = try query("partition=9223372036854775807")
        #expect(try query.integer("partition") == .max)
        do {
            _ = try query.integer("partition", in: 1...5)
            Issue.record("taken")
        } catch { #expect(error.detail.contains("1 to 5")) }
    }

    @Test func `a choice is one of those listed, exactly`() throws {
        let choices = ["all", "leader", "none"]
        #expect(try query("acks=none").choice("acks", of: choices) == 2)
        #expect(try query("").choice("acks", of: choices) == nil)
        #expect(throws: Problem.self) { try query("acks=ALL").choice("acks", of: choices) }
        #expect(throws: Problem.self) { try query("acks=").choice("acks", of: choices) }
    }
}

@Suite struct MediaTypeTests {
    func type(_ text: String) -> MediaType? { MediaType(Array(text.utf8), in: 0..<text.utf8.count) }

    @Test func `parameters are passed over and the charset is found`() throws {
        let text = #"Application/JSON ; a="x;charset=b\";"; charset="UTF-8""#
        let media = try #require(type(text))
        #expect(media.essence == 0..<16)
        #expect(media.isUTF8(Array(text.utf8)))
        #expect(
            type("application/json;charset=latin1")?.isUTF8(
                Array("application/json;charset=latin1".utf8)) == false)
    }

    @Test(arguments: ["", "json", "a/", "a/b/c", "a b/c", ";charset=utf-8"])
    func `what is no media type is none`(text: String) {
        #expect(type(text) == nil)
    }

    @Test func `only a form that is named with a weight above zero is accepted by name`() {
        func names(_ text: String) -> Bool {
            acceptNames(Array(text.utf8), in: 0..<text.utf8.count, "application/x-ndjson")
        }
        #expect(names("application/x-ndjson"))
        #expect(names("text/html, Application/X-NDJSON ; q=0.5"))
        #expect(!names("*/*"))
        #expect(!names("application/x-ndjson;q=0"))
        #expect(!names("application/x-ndjson; q=0.000, */*"))
        #expect(!names(""))
    }
}
