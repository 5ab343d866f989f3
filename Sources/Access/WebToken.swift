import JSON

/// A JSON Web Token in compact form (RFC 7515 §3.1), taken apart and not yet believed.
///
/// What a header says chooses among our own keys and nothing else: keys and addresses of keys in it
/// (`jwk`, `jku`, `x5u`) are never looked at, and extensions it calls critical are refused.
package struct WebToken: Sendable {
    package var algorithm: KeySet.Algorithm
    package var keyIdentifier: String?
    package var claims = Claims()
    /// What is signed, and by what.
    var signed: [UInt8]
    var signature: [UInt8]

    package struct Claims: Sendable {
        package var issuer: String?
        package var audiences: [String] = []
        /// Seconds since 1970, as in the token.
        package var expiresAt: Double?
        package var notBefore: Double?
        package var principal: String?
        /// Texts of rules; nil where the claim is absent.
        package var allow: [String]?
        package var deny: [String]?
    }

    /// Two full stops: then it is meant as one.
    package static func isMeant(by text: ArraySlice<UInt8>) -> Bool {
        text.count { $0 == UInt8(ascii: ".") } == 2
    }

    /// nil where it is malformed, unsigned, or of an algorithm that is not taken.
    package init?(_ text: ArraySlice<UInt8>, _ settings: AccessFile.WebTokens) {
        guard text.count <= Limits.webTokenBytes else { return nil }
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let header = base64URLDecoded(parts[0]),
            let payload = base64URLDecoded(parts[1]), let signature = base64URLDecoded(parts[2]),
            !signature.isEmpty
        else { return nil }
        signed = Array(text[text.startIndex..<parts[1].endIndex])
        self.signature = signature
        algorithm = .HS256
        do throws(JSONError) {
            guard try readHeader(header), try readClaims(payload, settings) else { return nil }
        } catch {
            return nil
        }
    }

    // MARK: - Reading

    /// False where it says what is not taken.
    private mutating func readHeader(_ bytes: [UInt8]) throws(JSONError) -> Bool {
        var reader = JSONReader(bytes)
        var seen = Set<String>()
        var found: KeySet.Algorithm?
        try reader.beginObject()
        while let token = try reader.nextMember() {
            let name = try reader.text(token)
            // RFC 7515 §4: a name that stands twice could be read two ways.
            guard seen.insert(name).inserted else { return false }
            switch name {
            case "alg": found = KeySet.Algorithm(rawValue: try reader.text(reader.readString()))
            case "kid": keyIdentifier = try reader.text(reader.readString())
            case "crit", "b64", "zip", "enc": return false
            default: _ = try reader.skipValue()
            }
        }
        try reader.end()
        guard let found else { return false }
        algorithm = found
        return true
    }

    private mutating func readClaims(
        _ bytes: [UInt8], _ settings: AccessFile.WebTokens
    ) throws(JSONError) -> Bool {
        var reader = JSONReader(bytes)
        var seen = Set<String>()
        try reader.beginObject()
        while let token = try reader.nextMember() {
            let name = try reader.text(token)
            guard seen.insert(name).inserted else { return false }
            let start = reader
            switch name {
            case "iss": claims.issuer = try reader.text(reader.readString())
            case "aud":
                if try reader.peek() == .string {
                    claims.audiences = [try reader.text(reader.readString())]
                } else {
                    claims.audiences = try reader.strings()
                }
            case "exp": claims.expiresAt = try reader.number()
            case "nbf": claims.notBefore = try reader.number()
            default: _ = try reader.skipValue()
            }
            // The principal's claim may be one of the above.
            var again = start
            if name == settings.principalClaim {
                claims.principal = try again.text(again.readString())
            } else if name == settings.rulesClaim {
                guard try readRules(&again) else { return false }
            }
        }
        try reader.end()
        return true
    }

    private mutating func readRules(_ reader: inout JSONReader) throws(JSONError) -> Bool {
        claims.allow = []
        try reader.beginObject()
        while let name = try reader.nextMember() {
            if reader.matches(name, "allow") {
                claims.allow = try reader.strings()
            } else if reader.matches(name, "deny") {
                claims.deny = try reader.strings()
            } else {
                return false
            }
        }
        return true
    }
}

extension JSONReader {
    /// A NumericDate (RFC 7519 §2): seconds since 1970, perhaps with a fraction.
    fileprivate mutating func number() throws(JSONError) -> Double {
        guard try peek() == .number else { throw JSONError(.wrongKind, at: position) }
        let start = position
        let range = try skipValue()
        let text = String(decoding: bytes[range], as: UTF8.self)
        guard let value = Double(text), value.isFinite, abs(value) < 1e15 else {
            throw JSONError(.badNumber, at: start)
        }
        return value
    }
}
