import Access
import HTTPServer
import Platform
import Synchronization

/// Finds out who asks, counts what they use, and ends what goes on when it no longer may.
final class Doorkeeper: Sendable {
    let access: AccessControl
    let time: any TimeSource
    private let open = Mutex(Open())
    private let refusals = Atomic<UInt64>(0)

    /// The long requests under way.
    private struct Open {
        var next: UInt64 = 0
        var requests: [UInt64: (grant: Grant, end: @Sendable () -> Void)] = [:]
    }

    init(_ access: AccessControl, _ time: any TimeSource) {
        self.access = access
        self.time = time
    }

    /// Requests without a right token since the start.
    var refusalCount: UInt64 { refusals.load(ordering: .relaxed) }

    // MARK: - Hot path

    /// The caller of a request, by its `Authorization: Bearer`.
    func caller(_ exchange: Exchange) throws(Problem) -> Caller {
        let head = exchange.head
        guard let field = head.value(of: .authorization) else {
            throw refusal(
                "Say who you are: `Authorization: Bearer` and a token, which "
                    + "`millrace token create` makes.", hadToken: false)
        }
        guard let token = bearer(head.bytes[field]) else {
            throw try failure(
                exchange, "Of the schemes of `Authorization`, Bearer is taken, with a token.")
        }
        let now = exchange.now
        let mayVerify =
            !access.hasFailures || access.failures.mayVerify(exchange.clientNetwork, now: now)
        switch access.authenticate(token, mayVerify: mayVerify) {
        case .granted(let grant): return Caller(grant)
        case .expired:
            throw try failure(exchange, "The token has expired. Ask for a new one.")
        case .unknownPrincipal:
            throw try failure(
                exchange, "The token is right, but whom it names has no line in the access file.")
        case .refused:
            throw try failure(
                exchange, "The token is not known here, or was revoked, or is not right.")
        case .unverified:
            throw tooManyFailures(
                "So many requests with a wrong token came from this address that no new one is "
                    + "looked at for a moment.", after: 1)
        }
    }

    /// What stands behind `Bearer` and spaces (RFC 6750 §2.1); the scheme in any case.
    private func bearer(_ field: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        let scheme = "bearer "
        guard field.count > scheme.utf8.count,
            zip(field, scheme.utf8).allSatisfy({ lowercased($0) == $1 })
        else { return nil }
        return field.dropFirst(scheme.utf8.count).drop { $0 == UInt8(ascii: " ") }
    }

    private func lowercased(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

    /// Takes one request from the caller's quota.
    func charge(_ caller: Caller, now: Instant) throws(Problem) {
        guard let excess = caller.grant.principal.meter?.admit(now: now) else { return }
        let seconds = max(1, (excess.wait.wholeMilliseconds + 999) / 1000)
        var problem = Problem(
            .quotaExceeded,
            "The quota \(excess.quota) of \(caller.grant.principal.name) is used up. Ask again in "
                + "\(seconds) s.",
            [("quota", .string(excess.quota))])
        problem.retryAfter = seconds
        throw problem
    }

    /// Ends the request when its credential ends, until `settle`.
    func watch(_ exchange: Exchange, _ caller: Caller) {
        let end = exchange.ender()
        caller.watch = open.withLock {
            $0.next &+= 1
            $0.requests[$0.next] = (caller.grant, end)
            return $0.next
        }
    }

    /// The request is over: its bytes are counted, and nobody watches it any more.
    func settle(_ exchange: Exchange) {
        guard let caller = exchange.caller else { return }
        caller.count(exchange)
        if let watch = caller.watch {
            _ = open.withLock { $0.requests.removeValue(forKey: watch) }
        }
    }

    // MARK: - Now and then

    /// Ends the requests whose credential was revoked or has expired. Call once a second.
    func endWhatIsNoLongerGranted() {
        let now = time.wallMilliseconds()
        let ended = open.withLock {
            $0.requests.values.filter { !$0.grant.isValid(at: now) }.map(\.end)
        }
        for end in ended { end() }
    }

    // MARK: - Refusals

    /// The answer to a credential that is not right, counted against the address it came from.
    func failure(_ exchange: Exchange, _ detail: String) throws(Problem) -> Problem {
        let wait = access.failures.fail(exchange.clientNetwork, now: exchange.now)
        guard wait > .zero else { return refusal(detail, hadToken: true) }
        return tooManyFailures(
            "Too many requests with a wrong token came from this address. The right token is "
                + "still taken.", after: max(1, (wait.wholeMilliseconds + 999) / 1000))
    }

    private func tooManyFailures(_ detail: String, after seconds: Int64) -> Problem {
        refusals.add(1, ordering: .relaxed)
        var problem = Problem(.tooManyFailures, detail)
        problem.retryAfter = seconds
        return problem
    }

    /// RFC 6750 §3: without credentials the challenge names no error.
    private func refusal(_ detail: String, hadToken: Bool) -> Problem {
        refusals.add(1, ordering: .relaxed)
        var problem = Problem(.unauthenticated, detail)
        problem.challenge =
            hadToken
            ? #"Bearer realm="millrace", error="invalid_token""# : #"Bearer realm="millrace""#
        return problem
    }
}
