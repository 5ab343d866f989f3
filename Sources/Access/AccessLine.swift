import JSON

/// One line of the access file, read.
enum AccessLine {
    case principal(AccessFile.PrincipalLine)
    case token(AccessFile.TokenLine)
    case webTokens(AccessFile.WebTokens)

    init(_ line: [UInt8]) throws(AccessError) {
        var members = AccessMembers()
        do throws(JSONError) {
            var reader = JSONReader(line)
            try members.read(&reader)
            try reader.end()
        } catch {
            throw AccessError("is no JSON at byte \(error.position): \(error.explanation)")
        }
        if let refusal = members.refusal { throw refusal }
        if let settings = members.webTokens {
            try members.allow(only: ["jwt"])
            self = .webTokens(settings)
        } else if members.has("token") {
            try members.allow(
                only: ["token", "principal", "sha256", "createdAt", "expiresAt", "note"])
            self = .token(try Self.token(members))
        } else {
            try members.allow(only: ["principal", "allow", "deny", "quota"])
            self = .principal(
                AccessFile.PrincipalLine(
                    name: try Self.name(members),
                    rules: try Rules(allow: members.lists["allow"], deny: members.lists["deny"]),
                    quota: members.quota))
        }
    }

    private static func name(_ members: AccessMembers) throws(AccessError) -> String {
        let name = try members.string("principal")
        guard isPrincipalName(name) else {
            throw AccessError(
                "the name of a principal is 1 to \(Limits.nameBytes) bytes without control bytes")
        }
        return name
    }

    private static func token(
        _ members: AccessMembers
    ) throws(AccessError) -> AccessFile.TokenLine {
        guard
            let identifier = Token.identifier(named: Array(try members.string("token").utf8)[...])
        else { throw AccessError("`token` must be 16 lower-case hex digits") }
        guard let hash = Hash(hex: try members.string("sha256")) else {
            throw AccessError("`sha256` must be 64 lower-case hex digits")
        }
        let note = members.strings["note"]
        guard note.map({ $0.utf8.count <= Limits.nameBytes }) ?? true else {
            throw AccessError("`note` has more than \(Limits.nameBytes) bytes")
        }
        return AccessFile.TokenLine(
            identifier: identifier, principal: try name(members), hash: hash,
            createdAt: members.numbers["createdAt"] ?? 0, expiresAt: members.numbers["expiresAt"],
            note: note)
    }
}

/// Whether a text can name a principal: in the file, or in a claim of a JSON Web Token.
func isPrincipalName(_ name: String) -> Bool {
    (1...Limits.nameBytes).contains(name.utf8.count)
        && name.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
}

extension Rules {
    /// From the texts of rules, as the file and tokens write them.
    init(allow: [String]?, deny: [String]?) throws(AccessError) {
        self.init()
        for text in allow ?? [] { self.allow.append(try Rule(text)) }
        for text in deny ?? [] { self.deny.append(try Rule(text)) }
        guard self.allow.count + self.deny.count <= Limits.rules else {
            throw AccessError("has more than \(Limits.rules) rules")
        }
    }
}

/// The members of one line, by kind; what a line may not hold is found afterwards.
struct AccessMembers {
    var strings: [String: String] = [:]
    var numbers: [String: Int64] = [:]
    var lists: [String: [String]] = [:]
    var quota: Quota?
    var webTokens: AccessFile.WebTokens?
    /// What is wrong though it is JSON.
    var refusal: AccessError?
    private var names: Set<String> = []

    func has(_ name: String) -> Bool { names.contains(name) }

    func string(_ name: String) throws(AccessError) -> String {
        guard let value = strings[name] else { throw AccessError("has no `\(name)`, a string") }
        return value
    }

    func allow(only known: [String]) throws(AccessError) {
        for name in names.sorted() where !known.contains(name) {
            throw AccessError(
                "has a field \(quoted(name)) that is not known there; known are "
                    + known.joined(separator: ", "))
        }
    }

    mutating func read(_ reader: inout JSONReader) throws(JSONError) {
        try reader.beginObject()
        while let token = try reader.nextMember() {
            let name = try reader.text(token)
            if !names.insert(name).inserted {
                refusal = AccessError("has \(quoted(name)) twice")
            }
            switch name {
            case "allow", "deny": lists[name] = try reader.strings()
            case "createdAt", "expiresAt": numbers[name] = try reader.readInt64()
            case "quota": quota = try readQuota(&reader)
            case "jwt": webTokens = try readWebTokens(&reader)
            case "token", "principal", "sha256", "note":
                strings[name] = try reader.text(reader.readString())
            default: _ = try reader.skipValue()
            }
        }
    }

    private mutating func readQuota(_ reader: inout JSONReader) throws(JSONError) -> Quota {
        var quota = Quota()
        try reader.beginObject()
        while let token = try reader.nextMember() {
            let name = try reader.text(token)
            let value = try reader.readInt64()
            if value < 1 { refusal = AccessError("a quota must be at least 1 a second") }
            switch name {
            case "requestsPerSecond": quota.requests = value
            case "bytesInPerSecond": quota.bytesIn = value
            case "bytesOutPerSecond": quota.bytesOut = value
            default:
                refusal = AccessError(
                    "has a quota \(quoted(name)); known are requestsPerSecond, "
                        + "bytesInPerSecond, bytesOutPerSecond")
            }
        }
        return quota
    }

    private mutating func readWebTokens(
        _ reader: inout JSONReader
    ) throws(JSONError) -> AccessFile.WebTokens {
        var settings = AccessFile.WebTokens()
        try reader.beginObject()
        while let token = try reader.nextMember() {
            let name = try reader.text(token)
            switch name {
            case "keys": settings.keys = try reader.text(reader.readString())
            case "issuer": settings.issuer = try reader.text(reader.readString())
            case "audience": settings.audience = try reader.text(reader.readString())
            case "principalClaim":
                settings.principalClaim = try reader.text(reader.readString())
            case "rulesClaim": settings.rulesClaim = try reader.text(reader.readString())
            case "leewayMs": settings.leewayMs = try reader.readInt64()
            default:
                refusal = AccessError(
                    "has a field \(quoted(name)) in `jwt`; known are keys, issuer, audience, "
                        + "principalClaim, rulesClaim, leewayMs")
                _ = try reader.skipValue()
            }
        }
        if settings.keys.isEmpty || settings.issuer.isEmpty || settings.audience.isEmpty {
            refusal = AccessError(
                "`jwt` needs `keys`, the file of the key set, `issuer` and `audience`: a token "
                    + "made for others must not be taken")
        }
        if !(0...600_000).contains(settings.leewayMs) {
            refusal = AccessError("`leewayMs` must be from 0 to 600000")
        }
        return settings
    }
}

extension JSONReader {
    mutating func strings() throws(JSONError) -> [String] {
        var strings: [String] = []
        try beginArray()
        while try nextElement() { strings.append(try text(readString())) }
        return strings
    }
}
