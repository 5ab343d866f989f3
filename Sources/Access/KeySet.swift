import JSON
import JWTKit

/// The keys JSON Web Tokens are signed with (RFC 7517): RSA for RS256, EC P-256 for ES256, `oct`
/// for HS256. Each key serves the one algorithm its kind stands for, so a public key can never pass
/// as a shared secret (RFC 8725 §3.1).
package struct KeySet: Sendable {
    package enum Algorithm: String, CaseIterable, Sendable { case HS256, RS256, ES256 }

    package struct Key: Sendable {
        package var identifier: String?
        package var algorithm: Algorithm
        fileprivate var verifier: any JWTAlgorithm
    }

    package private(set) var keys: [Key] = []

    /// Keys of other kinds and for other uses are passed over, as providers publish them too; a key
    /// of ours that is broken is not.
    package init(_ bytes: [UInt8]) async throws(AccessError) {
        let members: [[String: String]]
        do throws(JSONError) { members = try Self.read(bytes) } catch {
            throw AccessError("is no JSON at byte \(error.position): \(error.explanation)")
        }
        guard members.count <= Limits.keys else {
            throw AccessError("has more than \(Limits.keys) keys")
        }
        for member in members {
            let isForSignatures = member["use"].map { $0 == "sig" } ?? true
            guard isForSignatures, let algorithm = Self.algorithm(of: member) else { continue }
            do {
                keys.append(
                    Key(
                        identifier: member["kid"], algorithm: algorithm,
                        verifier: try await Self.verifier(member, algorithm)))
            } catch {
                throw AccessError("the key \(quoted(member["kid"] ?? "")): \(error.reason)")
            }
        }
        guard !keys.isEmpty else {
            throw AccessError("has no key for RS256 (RSA), ES256 (EC P-256) or HS256 (oct)")
        }
    }

    /// The key a token names. One that names none is taken only where there is no choice.
    package func key(_ identifier: String?, _ algorithm: Algorithm) -> Key? {
        let fitting = keys.filter {
            $0.algorithm == algorithm && (identifier == nil || $0.identifier == identifier)
        }
        return fitting.count == 1 ? fitting[0] : nil
    }

    // MARK: - Reading

    /// The string members of each key; a member that is no string is none we look at.
    private static func read(_ bytes: [UInt8]) throws(JSONError) -> [[String: String]] {
        var reader = JSONReader(bytes)
        var keys: [[String: String]] = []
        try reader.beginObject()
        while let name = try reader.nextMember() {
            guard reader.matches(name, "keys") else {
                _ = try reader.skipValue()
                continue
            }
            try reader.beginArray()
            while try reader.nextElement() {
                var members: [String: String] = [:]
                try reader.beginObject()
                while let name = try reader.nextMember() {
                    let name = try reader.text(name)
                    if try reader.peek() == .string {
                        members[name] = try reader.text(reader.readString())
                    } else {
                        _ = try reader.skipValue()
                    }
                }
                keys.append(members)
            }
        }
        try reader.end()
        return keys
    }

    private static func algorithm(of key: [String: String]) -> Algorithm? {
        let algorithm: Algorithm
        switch (key["kty"], key["crv"]) {
        case ("RSA", _): algorithm = .RS256
        case ("EC", "P-256"): algorithm = .ES256
        case ("oct", _): algorithm = .HS256
        default: return nil
        }
        return key["alg"] ?? algorithm.rawValue == algorithm.rawValue ? algorithm : nil
    }

    private static func verifier(
        _ key: [String: String], _ algorithm: Algorithm
    ) async throws(AccessError) -> any JWTAlgorithm {
        let collection = JWTKeyCollection()
        do {
            switch algorithm {
            case .RS256:
                await collection.add(
                    rsa: try Insecure.RSA.PublicKey(
                        modulus: key["n"] ?? "", exponent: key["e"] ?? ""),
                    digestAlgorithm: .sha256)
            case .ES256:
                await collection.add(
                    ecdsa: try ES256PublicKey(parameters: (key["x"] ?? "", key["y"] ?? "")))
            case .HS256:
                guard let secret = base64URLDecoded(Array((key["k"] ?? "").utf8)[...]),
                    secret.count >= 32
                else {
                    throw AccessError("`k` must be base64url of 32 bytes at least (RFC 7518 §3.2)")
                }
                await collection.add(hmac: HMACKey(from: secret), digestAlgorithm: .sha256)
            }
            return try await collection.getKey()
        } catch let error as AccessError {
            throw error
        } catch {
            throw AccessError(
                "is no \(algorithm.rawValue) key; RSA keys have 2048 bits at least, and EC keys a "
                    + "point on P-256")
        }
    }
}

extension KeySet.Key {
    /// Whether `signature` is this key's over `bytes`.
    func verifies(_ signature: [UInt8], over bytes: [UInt8]) -> Bool {
        do { return try verifier.verify(signature, signs: bytes) } catch { return false }
    }
}
