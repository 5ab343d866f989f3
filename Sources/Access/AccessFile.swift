import JSON

/// The access file: a JSON object a line. Lines that are empty or begin with `#` are for people.
///
///     {"principal":"web","allow":["topic:orders.*=read,write"],"deny":["topic:orders.pay=all"]}
///     {"token":"0123456789abcdef","principal":"web","sha256":"…","createdAt":ms,"expiresAt":ms}
///     {"jwt":{"keys":"jwks.json","issuer":"https://id.example","audience":"millrace"}}
///
/// People write principals and the one `jwt` line; `millrace token` adds and takes token lines and
/// leaves every other byte as it is.
package struct AccessFile: Sendable {
    package struct PrincipalLine: Sendable {
        package var name: String
        package var rules: Rules
        package var quota: Quota?

        package init(name: String, rules: Rules, quota: Quota? = nil) {
            self.name = name
            self.rules = rules
            self.quota = quota
        }
    }

    package struct TokenLine: Sendable {
        package var identifier: UInt64
        package var principal: String
        package var hash: Hash
        /// Milliseconds since 1970; `expiresAt` is nil for a token that never does.
        package var createdAt: Int64
        package var expiresAt: Int64?
        package var note: String?

        package init(
            identifier: UInt64, principal: String, hash: Hash, createdAt: Int64,
            expiresAt: Int64? = nil, note: String? = nil
        ) {
            self.identifier = identifier
            self.principal = principal
            self.hash = hash
            self.createdAt = createdAt
            self.expiresAt = expiresAt
            self.note = note
        }
    }

    /// How JSON Web Tokens are judged.
    package struct WebTokens: Equatable, Sendable {
        /// The file of the key set (RFC 7517), relative to the access file.
        package var keys = ""
        package var issuer = ""
        package var audience = ""
        /// The claim that names the principal.
        package var principalClaim = "sub"
        /// The claim that may carry `{"allow":[…],"deny":[…]}`; nil: no token brings rules.
        package var rulesClaim: String?
        package var leewayMs = Limits.leewayMs
    }

    package private(set) var principals: [PrincipalLine] = []
    package private(set) var tokens: [TokenLine] = []
    package private(set) var webTokens: WebTokens?
    private var lines: [Line] = []

    private struct Line {
        var bytes: [UInt8]
        /// Of a token's line.
        var token: UInt64?
    }

    /// Throws with the number of the line that cannot be taken, and why.
    package init(_ bytes: [UInt8]) throws(AccessError) {
        guard bytes.count <= Limits.fileBytes else {
            throw AccessError("has more than \(Limits.fileBytes) bytes")
        }
        var rest = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        if rest.last?.isEmpty ?? false { rest.removeLast() }
        for (index, line) in rest.enumerated() {
            do { try add(Array(line)) } catch {
                throw AccessError("line \(index + 1): \(error.reason)")
            }
        }
        try check()
    }

    /// The file's bytes: what was read, with what changed since.
    package var bytes: [UInt8] { lines.flatMap { $0.bytes + [UInt8(ascii: "\n")] } }

    // MARK: - Changes

    /// Adds a principal's line.
    package mutating func add(_ principal: PrincipalLine) throws(AccessError) {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("principal")
        writer.string(principal.name)
        writer.rules("allow", principal.rules.allow)
        writer.rules("deny", principal.rules.deny)
        writer.endObject()
        try add(writer.bytes)
    }

    package mutating func add(_ token: TokenLine) throws(AccessError) {
        guard principals.contains(where: { $0.name == token.principal }) else {
            throw AccessError("there is no principal \(quoted(token.principal))")
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("token")
        writer.string(Token.name(token.identifier))
        writer.name("principal")
        writer.string(token.principal)
        writer.name("sha256")
        writer.string(token.hash.hex)
        writer.name("createdAt")
        writer.integer(token.createdAt)
        if let expiresAt = token.expiresAt {
            writer.name("expiresAt")
            writer.integer(expiresAt)
        }
        if let note = token.note {
            writer.name("note")
            writer.string(note)
        }
        writer.endObject()
        try add(writer.bytes)
    }

    /// False where there is no such token.
    package mutating func removeToken(_ identifier: UInt64) -> Bool {
        let count = tokens.count
        tokens.removeAll { $0.identifier == identifier }
        lines.removeAll { $0.token == identifier }
        return tokens.count < count
    }

    // MARK: - Reading

    private mutating func add(_ line: [UInt8]) throws(AccessError) {
        let first = line.first { $0 != UInt8(ascii: " ") && $0 != 0x09 && $0 != 0x0D }
        guard let first, first != UInt8(ascii: "#") else {
            lines.append(Line(bytes: line, token: nil))
            return
        }
        let parsed = try AccessLine(line)
        switch parsed {
        case .principal(let principal): principals.append(principal)
        case .token(let token): tokens.append(token)
        case .webTokens(let settings):
            guard webTokens == nil else { throw AccessError("is a second `jwt` line") }
            webTokens = settings
        }
        guard tokens.count <= Limits.tokens, principals.count <= Limits.principals else {
            throw AccessError(
                "is one too many: \(Limits.tokens) tokens and \(Limits.principals) principals "
                    + "are the most")
        }
        var token: UInt64?
        if case .token(let line) = parsed { token = line.identifier }
        lines.append(Line(bytes: line, token: token))
    }

    /// What no line can know alone.
    private func check() throws(AccessError) {
        var names = Set<String>()
        for principal in principals where !names.insert(principal.name).inserted {
            throw AccessError("the principal \(quoted(principal.name)) stands twice")
        }
        var identifiers = Set<UInt64>()
        for token in tokens {
            let name = Token.name(token.identifier)
            guard identifiers.insert(token.identifier).inserted else {
                throw AccessError("the token \(name) stands twice")
            }
            guard names.contains(token.principal) else {
                throw AccessError(
                    "the token \(name) is of \(quoted(token.principal)), who has no line")
            }
        }
    }
}

extension JSONWriter {
    fileprivate mutating func rules(_ name: String, _ rules: [Rule]) {
        if rules.isEmpty { return }
        self.name(name)
        beginArray()
        for rule in rules { string(rule.text) }
        endArray()
    }
}
