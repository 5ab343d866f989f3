import Access
import Platform
import Testing

@Suite struct `A ticket` {
    private func issue(
        _ fixture: AccessFixture, _ grant: Grant
    ) -> String? {
        fixture.control.tickets.issue(
            grant, topic: "orders.eu", wall: fixture.time.wallMilliseconds(),
            now: fixture.time.now())
    }

    private func redeem(
        _ fixture: AccessFixture, _ text: String, topic: String = "orders.eu"
    ) -> Grant? {
        fixture.control.tickets.redeem(
            Array(text.utf8), topic: topic, wall: fixture.time.wallMilliseconds(),
            now: fixture.time.now())
    }

    @Test func `is good once, for its topic, for a minute, and while its token is`() async throws {
        let token = MadeToken("web")
        let fixture = try await AccessFixture([web, token.line])
        let grant = try #require(fixture.grant(token.text))
        let tickets = (0..<5).compactMap { _ in issue(fixture, grant) }
        #expect(Set(tickets).count == 5)
        #expect(redeem(fixture, tickets[0]) === grant)
        #expect(redeem(fixture, tickets[0]) == nil)
        #expect(redeem(fixture, tickets[1], topic: "orders.us") == nil)
        #expect(redeem(fixture, tickets[1]) == nil, "a try for another topic uses it up")
        fixture.time.advance(by: .seconds(59))
        #expect(redeem(fixture, tickets[2]) === grant)
        fixture.time.advance(by: .seconds(1))
        #expect(redeem(fixture, tickets[3]) == nil)
        let fresh = try #require(issue(fixture, grant))
        grant.revoke()
        #expect(redeem(fixture, fresh) == nil)
        #expect(redeem(fixture, "") == nil)
    }

    @Test func `is one of a bounded number`() async throws {
        let token = MadeToken("web")
        let fixture = try await AccessFixture([web, token.line])
        let grant = try #require(fixture.grant(token.text))
        for _ in 0..<1000 { #expect(issue(fixture, grant) != nil) }
        #expect(issue(fixture, grant) == nil)
        fixture.time.advance(by: .seconds(60))
        #expect(issue(fixture, grant) != nil)
    }
}
