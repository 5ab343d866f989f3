import Access
import Foundation
import Platform
import Testing

@Suite struct `Access control` {
    @Test func `takes a token and nothing like it`() async throws {
        let token = MadeToken("web")
        let fixture = try await AccessFixture([web, token.line])
        #expect(fixture.grant(token.text)?.principal.name == "web")
        for index in token.text.indices {
            var other = token.text
            other.replaceSubrange(index...index, with: other[index] == "0" ? "1" : "0")
            #expect(fixture.grant(other) == nil, "\(index)")
        }
        for other in ["", "mr_", token.text + "0", " " + token.text, token.text.uppercased()] {
            #expect(fixture.grant(other) == nil)
        }
    }

    @Test func `lets nobody in by the hash that stands for tokens it does not know`() async throws {
        let empty = Hash.none.hex
        let line =
            #"{"token":"0000000000000001","principal":"web","sha256":"\#(empty)","createdAt":0}"#
        let fixture = try await AccessFixture([web, line])
        #expect(fixture.grant("") == nil)
        #expect(fixture.grant(MadeToken("web", identifier: 1).text) == nil)
    }

    /// Pitfall 24: an expiry is a date, so it follows the wall clock.
    @Test func `takes a token until its date`() async throws {
        let time = try await AccessFixture([web]).time
        let token = MadeToken("web", expiresAt: time.wallMilliseconds() + 1000)
        let fixture = try await AccessFixture([web, token.line])
        #expect(fixture.grant(token.text) != nil)
        fixture.time.advance(by: .milliseconds(999))
        #expect(fixture.grant(token.text) != nil)
        fixture.time.advance(by: .milliseconds(1))
        #expect(fixture.grant(token.text) == nil)
    }

    @Test func `reads again and takes back what changed, and only that`() async throws {
        let one = MadeToken("web", identifier: 1)
        let two = MadeToken("web", identifier: 2)
        let ops = MadeToken("ops", identifier: 3)
        let line = #"{"principal":"ops","allow":["topic:*=all"]}"#
        let fixture = try await AccessFixture([web, line, one.line, two.line, ops.line])
        let grants = try [one, two, ops].map { try #require(fixture.grant($0.text)) }
        #expect(!fixture.control.isStale)
        try fixture.replace([web, line, two.line, ops.line])
        #expect(fixture.control.isStale)
        try await fixture.control.load()
        #expect(!fixture.control.isStale)
        let now = fixture.time.wallMilliseconds()
        #expect(grants.map { $0.isValid(at: now) } == [false, true, true])
        #expect(fixture.grant(one.text) == nil)
        #expect(fixture.grant(two.text) === grants[1])
        // Other rules end what was granted under the old ones.
        try fixture.replace([
            web, #"{"principal":"ops","allow":["topic:a=read"]}"#, two.line, ops.line,
        ])
        try await fixture.control.load()
        #expect(grants.map { $0.isValid(at: now) } == [false, true, false])
        #expect(
            fixture.grant(ops.text)?.principal.rules.operations(on: .topic, "b").isEmpty ?? false)
    }

    @Test func `keeps what it has where the file becomes one that cannot be taken`() async throws {
        let token = MadeToken("web")
        let fixture = try await AccessFixture([web, token.line])
        try fixture.replace(["nonsense"])
        await #expect(throws: AccessError.self) { try await fixture.control.load() }
        #expect(fixture.grant(token.text) != nil)
        try FileManager.default.removeItem(atPath: fixture.path)
        #expect(fixture.control.isStale)
        await #expect(throws: AccessError.self) { try await fixture.control.load() }
        #expect(fixture.grant(token.text) != nil)
    }

    @Test(arguments: [0o640, 0o604, 0o620, 0o660, 0o602, 0o644])
    func `takes no file that others may read or write`(mode: Int) async throws {
        let fixture = try await AccessFixture([web])
        try FileManager.default.setAttributes(
            [.posixPermissions: mode], ofItemAtPath: fixture.path)
        let error = await #expect(throws: AccessError.self) { try await fixture.control.load() }
        #expect(error?.reason.contains("chmod 600") ?? false)
    }

    @Test func `keeps what was used of a quota when other lines change`() async throws {
        let token = MadeToken("web")
        let line = #"{"principal":"web","quota":{"requestsPerSecond":1}}"#
        let fixture = try await AccessFixture([line, token.line])
        let now = fixture.time.now()
        let meter = try #require(fixture.grant(token.text)?.principal.meter)
        #expect(meter.admit(now: now) == nil)
        #expect(meter.admit(now: now) == nil)
        #expect(meter.admit(now: now) != nil)
        try fixture.replace([line, token.line, #"{"principal":"x"}"#])
        try await fixture.control.load()
        #expect(fixture.grant(token.text)?.principal.meter === meter)
    }
}
