import Synchronization

/// Says whose a JSON Web Token is. A signature costs tens of microseconds, so what was verified
/// is remembered by its SHA-256 until it expires, and a bounded number of them.
final class WebTokenJudge: Sendable {
    enum Verdict { case granted(Grant), refused, expired, unknownPrincipal(String) }

    let settings: AccessFile.WebTokens
    let keys: KeySet
    /// Of the file the keys came from, to see whether they changed.
    let keyBytes: [UInt8]
    private let remembered = Mutex(Remembered())

    /// Two halves: when the young one is full, the old one is forgotten. What is in use moves from
    /// the old to the young.
    private struct Remembered {
        var young: [Hash: Grant] = [:]
        var old: [Hash: Grant] = [:]

        mutating func find(_ hash: Hash) -> Grant? {
            if let grant = young[hash] { return grant }
            guard let grant = old[hash] else { return nil }
            keep(grant, hash)
            return grant
        }

        mutating func keep(_ grant: Grant, _ hash: Hash) {
            if young.count >= Limits.verifiedTokens / 2 {
                old = young
                young = [:]
            }
            young[hash] = grant
        }
    }

    init(_ settings: AccessFile.WebTokens, keys: KeySet, keyBytes: [UInt8]) {
        self.settings = settings
        self.keys = keys
        self.keyBytes = keyBytes
    }

    /// A token that was verified before; nil: `verify` it.
    func remembered(_ hash: Hash) -> Grant? { remembered.withLock { $0.find(hash) } }

    /// `principal` finds a principal of the file by its name.
    func verify(
        _ text: ArraySlice<UInt8>, _ hash: Hash, now: Int64,
        principal: (String) -> Principal?
    ) -> Verdict {
        guard let token = WebToken(text, settings),
            let key = keys.key(token.keyIdentifier, token.algorithm),
            key.verifies(token.signature, over: token.signed)
        else { return .refused }
        let claims = token.claims
        guard claims.issuer == settings.issuer, claims.audiences.contains(settings.audience),
            let expiry = claims.expiresAt, let name = claims.principal, isPrincipalName(name)
        else { return .refused }
        let expiresAt = Int64(expiry * 1000) + settings.leewayMs
        guard now < expiresAt else { return .expired }
        if let notBefore = claims.notBefore, now < Int64(notBefore * 1000) - settings.leewayMs {
            return .refused
        }
        let known = principal(name)
        let owner: Principal
        do throws(AccessError) {
            guard let found = try self.principal(name, claims, known) else {
                return .unknownPrincipal(name)
            }
            owner = found
        } catch {
            return .refused
        }
        let grant = Grant(owner, expiresAt: expiresAt)
        remembered.withLock { $0.keep(grant, hash) }
        return .granted(grant)
    }

    /// Takes back one that was granted by a file that is no longer the present one.
    func forget(_ hash: Hash, _ grant: Grant) {
        remembered.withLock { if $0.find(hash) === grant { $0.young[hash] = nil } }
        grant.revoke()
    }

    /// Rules of the token where the operator lets tokens bring them, beside what the file says of
    /// the principal: what either denies is denied.
    private func principal(
        _ name: String, _ claims: WebToken.Claims, _ known: Principal?
    ) throws(AccessError) -> Principal? {
        guard settings.rulesClaim != nil, claims.allow != nil || claims.deny != nil else {
            return known
        }
        var rules = try Rules(allow: claims.allow, deny: claims.deny)
        rules.allow += known?.rules.allow ?? []
        rules.deny += known?.rules.deny ?? []
        return Principal(name: name, rules: rules, meter: known?.meter, base: known)
    }

    /// Forgets, and takes back, what was granted to principals that are no longer what they were.
    func keep(where isCurrent: (Principal) -> Bool) {
        remembered.withLock {
            for (hash, grant) in Array($0.young) + Array($0.old)
            where !isCurrent(grant.principal) {
                grant.revoke()
                $0.young[hash] = nil
                $0.old[hash] = nil
            }
        }
    }
}
