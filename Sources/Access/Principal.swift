/// Who asks: a name, what it may do, and how much.
package final class Principal: Sendable {
    package let name: String
    package let rules: Rules
    /// nil: no quota.
    package let meter: Meter?
    /// The principal of the file that a JSON Web Token with rules of its own builds on.
    let base: Principal?

    package init(name: String, rules: Rules, meter: Meter?, base: Principal? = nil) {
        self.name = name
        self.rules = rules
        self.meter = meter
        self.base = base
    }

    /// Whether another, read anew from the file, is the same in all that matters.
    func equals(_ other: Principal) -> Bool {
        name == other.name && rules == other.rules && meter?.quota == other.meter?.quota
    }
}

/// One credential that was accepted, and whose it is. The requests of one token share it, so that
/// taking it back reaches all of them.
package final class Grant: Sendable {
    package let principal: Principal
    /// Milliseconds since 1970 by the wall clock, as dates are; `.max`: never.
    package let expiresAt: Int64
    private let revoked = Flag()

    package init(_ principal: Principal, expiresAt: Int64 = .max) {
        self.principal = principal
        self.expiresAt = expiresAt
    }

    package func isValid(at wallMilliseconds: Int64) -> Bool {
        wallMilliseconds < expiresAt && !revoked.isSet
    }

    package func revoke() { revoked.set() }
}
