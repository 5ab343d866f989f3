import Platform

/// What the access file said when it was read, made for looking up. Never changed: a new file is a
/// new table, which takes over what is the same, so that streams of others are not disturbed.
final class AccessTable: Sendable {
    private struct Entry {
        var hash: Hash
        var grant: Grant
    }

    private let principals: [String: Principal]
    private let tokens: [UInt64: Entry]
    let judge: WebTokenJudge?

    init(
        _ file: AccessFile, judge: WebTokenJudge?, defaultQuota: Quota, now: Instant,
        replacing old: AccessTable?
    ) {
        self.judge = judge
        var principals: [String: Principal] = [:]
        for line in file.principals {
            let before = old?.principals[line.name]
            let quota = defaultQuota.overridden(by: line.quota)
            var meter = quota.isUnlimited ? nil : before?.meter
            if !quota.isUnlimited, meter?.quota != quota { meter = Meter(quota, now: now) }
            let principal = Principal(name: line.name, rules: line.rules, meter: meter)
            principals[line.name] = before.flatMap { $0.equals(principal) ? $0 : nil } ?? principal
        }
        self.principals = principals
        var tokens: [UInt64: Entry] = [:]
        for line in file.tokens {
            guard let principal = principals[line.principal] else { continue }
            let expiresAt = line.expiresAt ?? .max
            let before = old?.tokens[line.identifier]
            let isSame =
                before.map {
                    $0.hash == line.hash && $0.grant.principal === principal
                        && $0.grant.expiresAt == expiresAt
                } ?? false
            let grant = isSame ? before?.grant : nil
            tokens[line.identifier] = Entry(
                hash: line.hash, grant: grant ?? Grant(principal, expiresAt: expiresAt))
        }
        self.tokens = tokens
    }

    /// Takes back what the table that follows does not have as it was.
    func revoke(whatIsNotIn next: AccessTable) {
        for (identifier, entry) in tokens
        where next.tokens[identifier]?.grant !== entry.grant {
            entry.grant.revoke()
        }
        guard let judge else { return }
        if judge !== next.judge { return judge.keep { _ in false } }
        judge.keep { principal in
            let known = next.principals[principal.name]
            return known === principal || known === principal.base && principal.base != nil
                || known == nil && principal.base == nil && principals[principal.name] == nil
        }
    }

    /// By its bytes: a claim's name that Unicode calls equal is somebody else's.
    func principal(_ name: String) -> Principal? {
        principals[name].flatMap { $0.name.utf8.elementsEqual(name.utf8) ? $0 : nil }
    }

    // MARK: - Hot path

    /// The grant of a token's text, whatever its expiry; nil where it is none of ours. A name that
    /// is not known costs the same as a wrong secret.
    func grant(_ text: ArraySlice<UInt8>, named identifier: UInt64) -> Grant? {
        let hash = Hash(of: Array(text))
        let entry = tokens[identifier]
        let isRight = hash.equals(entry?.hash ?? .none)
        return isRight ? entry?.grant : nil
    }
}
