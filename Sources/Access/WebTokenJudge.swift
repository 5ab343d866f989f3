import Platform
import Synchronization

/// Says whose a JSON Web Token is. A signature costs tens of microseconds, so what was verified
/// is remembered by its SHA-256 until it expires, and a bounded number of them.
final class WebTokenJudge: Sendable {
    enum Verdict { case granted(Grant), refused, expired, unknownPrincipal(String) }

    let settings: AccessFile.WebTokens
    let keys: KeySet
    /// Of the file the keys came from, to see whether they changed.
    let keyBytes: [UInt8]
    /// Of those that the file does not name.
    private let quota: Quota
    private let remembered = Mutex(Recent<Hash, Grant>())
    /// Of those that the file does not name, by name, for one may have many tokens.
    private let meters = Mutex(Recent<String, Meter>())

    /// Two halves: when the young one is full, the old one is forgotten. What is in use moves from
    /// the old to the young.
    private struct Recent<Key: Hashable, Value> {
        private var young: [Key: Value] = [:]
        private var old: [Key: Value] = [:]

        mutating func find(_ key: Key) -> Value? {
            if let value = young[key] { return value }
            guard let value = old[key] else { return nil }
            keep(value, key)
            return value
        }

        mutating func keep(_ value: Value, _ key: Key) {
            if young.count >= Limits.verifiedTokens / 2 {
                old = young
                young = [:]
            }
            young[key] = value
        }

        mutating func forget(_ key: Key) {
            young[key] = nil
            old[key] = nil
        }

        var all: [(key: Key, value: Value)] { Array(old) + Array(young) }
    }

    init(_ settings: AccessFile.WebTokens, keys: KeySet, keyBytes: [UInt8], quota: Quota) {
        self.settings = settings
        self.keys = keys
        self.keyBytes = keyBytes
        self.quota = quota
    }

    /// A token that was verified before; nil: `verify` it.
    func remembered(_ hash: Hash) -> Grant? { remembered.withLock { $0.find(hash) } }

    /// `principal` finds a principal of the file by its name.
    func verify(
        _ text: ArraySlice<UInt8>, _ hash: Hash, now: Int64, _ instant: Instant,
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
            guard let found = try self.principal(name, claims, known, instant) else {
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
        remembered.withLock { if $0.find(hash) === grant { $0.forget(hash) } }
        grant.revoke()
    }

    /// Rules of the token where the operator lets tokens bring them, beside what the file says of
    /// the principal: what either denies is denied.
    private func principal(
        _ name: String, _ claims: WebToken.Claims, _ known: Principal?, _ now: Instant
    ) throws(AccessError) -> Principal? {
        guard settings.rulesClaim != nil, claims.allow != nil || claims.deny != nil else {
            return known
        }
        var rules = try Rules(allow: claims.allow, deny: claims.deny)
        rules.allow += known?.rules.allow ?? []
        rules.deny += known?.rules.deny ?? []
        let meter = known == nil ? meter(of: name, now) : known?.meter
        return Principal(name: name, rules: rules, meter: meter, base: known)
    }

    /// By the quota of those whose line says nothing else.
    private func meter(of name: String, _ now: Instant) -> Meter? {
        if quota.isUnlimited { return nil }
        return meters.withLock {
            let meter = $0.find(name) ?? Meter(quota, now: now)
            $0.keep(meter, name)
            return meter
        }
    }

    /// Forgets, and takes back, what was granted to principals that are no longer what they were.
    func keep(where isCurrent: (Principal) -> Bool) {
        remembered.withLock {
            for (hash, grant) in $0.all where !isCurrent(grant.principal) {
                grant.revoke()
                $0.forget(hash)
            }
        }
    }
}
