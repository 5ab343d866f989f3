/// Every limit of access, named.
enum Limits {
    /// Bytes of an access file or a key set; one token line has about 200.
    static let fileBytes = 64 << 20
    static let tokens = 100_000
    static let principals = 10_000
    /// Rules of one principal, allowing or denying: each is looked at on every request of its own.
    static let rules = 1_000
    /// Bytes of the name of a principal, and of a token's note.
    static let nameBytes = 128
    /// Keys of a key set.
    static let keys = 100
    /// Bytes of a JSON Web Token that is looked at; header fields have 32 KiB in all.
    static let webTokenBytes = 16 << 10
    /// Verified JSON Web Tokens that are remembered.
    static let verifiedTokens = 10_000
    /// How much a clock of who made a JSON Web Token may differ from ours, unless the file says.
    static let leewayMs: Int64 = 30_000
    /// Tickets that are out at a time, over all and of one principal.
    static let tickets = 10_000
    static let ticketsOfOne = 1_000
    /// Addresses whose failures are counted at a time.
    static let addresses = 10_000
    /// Failures of one address at once, and how many come back a second.
    static let failureBurst = 20.0
    static let failuresPerSecond = 1.0
    /// Signatures that are verified for an address beyond its failures: at 0.1 ms each, 2% of a
    /// core.
    static let verificationsPerSecond = 200.0
}
