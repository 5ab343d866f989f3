import Access
import TestSupport
import Testing

@Suite struct `The access file` {
    private let token = MadeToken("web").line

    private func file(_ lines: [String]) throws -> AccessFile {
        try AccessFile(Array(lines.joined(separator: "\n").utf8))
    }

    @Test func `keeps every byte that it does not change`() throws {
        let lines = ["# who may what", "", "  " + web + " ", token, "\t# end", ""]
        var read = try file(lines)
        #expect(read.bytes == Array(lines.joined(separator: "\n").utf8))
        let made = Token(identifier: 9, chance: Array(repeating: 1, count: 32))
        try read.add(
            AccessFile.TokenLine(
                identifier: 9, principal: "web", hash: made.hash, createdAt: 5, note: "a\nb"))
        #expect(read.tokens.count == 2)
        let removals = [read.removeToken(7), read.removeToken(7)]
        #expect(removals == [true, false])
        let again = try AccessFile(read.bytes)
        #expect(again.tokens.map(\.identifier) == [9])
        #expect(again.tokens[0].hash == made.hash)
        #expect(again.tokens[0].note == "a\nb")
        _ = read.removeToken(9)
        #expect(read.bytes == Array((lines[..<3] + lines[4...]).joined(separator: "\n").utf8))
    }

    @Test(arguments: [
        #"{"principal":"web","allow":["topic:a=fly"]}"#, #"{"principal":"web","alow":[]}"#,
        #"{"principal":"","allow":[]}"#, #"{"principal":"a\nb"}"#, #"{"principal":7}"#,
        #"{"principal":"web","quota":{"requestsPerSecond":0}}"#,
        #"{"principal":"web","quota":{"requests":1}}"#, #"{"principal":"x","principal":"y"}"#,
        #"{"token":"7","principal":"web","sha256":"00"}"#, #"{"allow":[]}"#, "{}", "[]", "x",
        #"{"jwt":{"keys":"k"}}"#, #"{"jwt":{"keys":"k","issuer":"i","audience":"a","alg":"none"}}"#,
        #"{"jwt":{"keys":"k","issuer":"i","audience":"a","leewayMs":-1}}"#,
        #"{"principal":"web"} {"principal":"x"}"#,
    ])
    func `that is wrong is refused with its line`(line: String) {
        let error = #expect(throws: AccessError.self) { try file(["# first", line]) }
        #expect(error?.reason.hasPrefix("line 2: ") ?? false, "\(error?.reason ?? "")")
    }

    @Test func `names nobody and nothing twice`() {
        #expect(throws: AccessError.self) { try file([web, web]) }
        #expect(throws: AccessError.self) { try file([web, token, token]) }
        #expect(throws: AccessError.self) { try file([token]) }
    }

    /// Whatever stands in it: a reason or a file, never an end of the process.
    @Test func `of any bytes is read or refused`() {
        let good = Array(
            [web, token, #"{"jwt":{"keys":"k","issuer":"i","audience":"a"}}"#]
                .joined(separator: "\n").utf8)
        var random = SeededRandom(seed: 7)
        for _ in 0..<20_000 {
            var bytes = good
            for _ in 0...Int(random.next() % 4) {
                let at = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 3 {
                case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.remove(at: at)
                default: bytes.insert(good[Int(random.next() % UInt64(good.count))], at: at)
                }
            }
            if let file = try? AccessFile(bytes) { #expect((try? AccessFile(file.bytes)) != nil) }
        }
    }
}
