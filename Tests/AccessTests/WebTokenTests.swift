import Access
import Crypto
import Foundation
import JWTKit
import Platform
import Testing

/// Signs tokens as a provider of identities would, with one key of each kind.
struct Provider {
    static let issuer = "https://id.example"
    static let rsaKey = """
        -----BEGIN PRIVATE KEY-----
        MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQDCa5iEhjS1XQMP
        9c366JqUKP02/BNZinXyZuvh83VFZZRRCdT44bHT1yIcuaNXyaHoAEGBaEovT6b7
        KmsfS2tu6J/6/MNXevesJNqvABk+NULWFBH9rOorRDF+4yMNTCWxbTvlQ8OxxD5t
        /T8hYXVMrAJRrrghhQBQxbJbfZZZSTNTRywyjlxamph4XU7fZdK/e0UMauYZY9Dv
        vdo/a/a3WUtnL9sgSSuuYkvV6QGbvJnpZN2mD6FeHMBnWoAHT6AaFPM7P/9JjeAD
        ynLBSvz2uy6Rd1YtPqAWmKxUxMgqLkUwBKn50M4Yy6mGjPrh6bb8oMUTwrX6zcbA
        rrUBWDSpAgMBAAECggEAAedfUjblN7xuLf8UcgdKkjZXim0L/HW6Y3IGD8ucQ55z
        xhpgS0KchOxHoXvg4VhwXS75dTyx80YmprF65I7OwcKF5IWKnSXvXHBs8sc/uAf5
        /FIsfe0uSterW2h6fKQY/2SIMF3KQgifquCOuHM1nJdXm3ioRW3Bu8i/zx0K9ptY
        QCgDLlXMv/s+XXyLwp9Z2Qd7/HPJB5UofgsopR9f5BWfymWFO+xefHe6zc2vTCDB
        /IUfFcujMWL/ff31ezMLk9gzpIlhxyiG2Cc8tEPOBV3bVbH3xoJ+iX9ToD0l1ROw
        4ED1mxeQ7uMLQVaCN31NLcogf5dVflJdTSqS7oXsTQKBgQD4PeD0VcR0v+DZdyfu
        fBOpal9GFdYjJKrwfwHvaE1vclzUFz1enORFgEE3mKuV3iybCt1bQz3s6PsxQ30q
        2k7cDVtkZXmG7TQa7e+bYQpw6/qrUqbVRV60JshE27hZeodRA4Hva06gyABM87WX
        s0yOXDdRT7qqdRUpyyjlht7uxQKBgQDIfxrjp1eu2Nu270sExWiDIoPOUlJZslQf
        Sa4t8b0W5KTBgEpkzPOlH5UnLJcJFcyVi8/4GO6hZmUfcxFNImvcufCDRXXD1pgy
        tq64D5G19XWJgejyzaN324Yoa0bYG6XGnt0jP/Raz1uCt2+Mq12QtKJhoMt6Ds2b
        QF4t+y4MlQKBgAMf/En3Hm79z13NczI8W58BWMuwEK8GkiRO5P5XiMoDXYnJ9RrQ
        zMrXL3r8sARF9LfK7jhs40WtNSRMnjHA58c7X9Amut3o9IP2RNLm6NO9FL29X55F
        rkiESHcdcPenZDav3Z3e8vFxMxfE5Z9QQYF1Rbj/UPE+YhLRnOUuynWlAoGAYKlG
        4XKQR2+tneiIFmjGFlLRkOsHYM8k12DCZMwjCaJ5/ABJ3Ych//3V/uj0eCDWXVLm
        lQoQIignoJ3tPW7W6beLSP535E7VWb3RRlPbQApy/DRxhn21zdc8Oshdg1rw9W0p
        2BDBUfaee8rMMNl9ZoJvtvm6n8H7RlomDa0HanECgYB1ZWrStjiDIw5JG6sF2wN3
        CXwqRedynFjHuEdz4OUNTjMqVLR69MYG3OTbXVByu7OcW/XSFQrl2dw2XXcOOkXM
        /QWX26iURvp6ZYjFU7wEHLl9RQ43tzMnGV8GyAEXQ8cCX3RN8zLeMzIAuf3B3IzO
        zi7tAoqNgDAea3bm798lMQ==
        -----END PRIVATE KEY-----
        """

    let keys = JWTKeyCollection()
    let secret = Array(UInt8(1)...UInt8(32))
    let elliptic = ES256PrivateKey()
    let rsa: JWTKit.Insecure.RSA.PrivateKey

    init() async throws {
        rsa = try JWTKit.Insecure.RSA.PrivateKey(pem: Self.rsaKey)
        await keys.add(hmac: HMACKey(from: secret), digestAlgorithm: .sha256, kid: "h")
        await keys.add(ecdsa: elliptic, kid: "e")
        await keys.add(rsa: rsa, digestAlgorithm: .sha256, kid: "r")
    }

    /// The public halves, and the secret, as a key set.
    func keySet() throws -> String {
        let point = try #require(elliptic.publicKey.parameters)
        let numbers = try rsa.publicKey.getKeyPrimitives()
        let keys = [
            #"{"kty":"oct","kid":"h","alg":"HS256","k":"\#(base64URL(secret))"}"#,
            #"{"kty":"EC","crv":"P-256","kid":"e","use":"sig","x":"\#(plain(point.x))","#
                + #""y":"\#(plain(point.y))"}"#,
            #"{"kty":"RSA","kid":"r","key_ops":["verify"],"n":"#
                + #""\#(base64URL(Array(numbers.modulus)))","#
                + #""e":"\#(base64URL(Array(numbers.publicExponent)))"}"#,
            #"{"kty":"OKP","crv":"Ed25519","kid":"o","x":"AAAA"}"#,
            #"{"kty":"RSA","kid":"enc","use":"enc","n":"AQAB","e":"AQAB"}"#,
        ]
        return #"{"keys":[\#(keys.joined(separator: ","))]}"#
    }

    func sign(_ claims: [String: Any], kid: String) async throws -> String {
        let algorithm = ["h": "HS256", "e": "ES256", "r": "RS256"][kid] ?? ""
        return try await sign(claims, header: ["alg": algorithm, "kid": kid], with: kid)
    }

    /// Any header over any payload, signed by the key `kid`.
    func sign(
        _ claims: [String: Any], header: [String: Any], with kid: String
    ) async throws -> String {
        let head = base64URL(Array(try JSONSerialization.data(withJSONObject: header)))
        let body = base64URL(Array(try JSONSerialization.data(withJSONObject: claims)))
        let signed = Array("\(head).\(body)".utf8)
        let algorithm = try await keys.getKey(for: JWKIdentifier(string: kid))
        return "\(head).\(body).\(base64URL(try algorithm.sign(signed)))"
    }
}

func base64URL(_ bytes: [UInt8]) -> String { plain(Data(bytes).base64EncodedString()) }

func plain(_ base64: String) -> String {
    base64.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
}

@Suite struct `A JSON Web Token` {
    private let settings =
        #"{"jwt":{"keys":"jwks.json","issuer":"https://id.example","audience":"millrace","#
        + #""rulesClaim":"millrace","leewayMs":1000}}"#

    private func fixture(_ provider: Provider) async throws -> AccessFixture {
        let fixture = try await AccessFixture([web])
        try PrivateFile.replace(
            fixture.directory + "/jwks.json", with: Array(try provider.keySet().utf8))
        try fixture.replace([web, settings])
        try await fixture.control.load()
        return fixture
    }

    /// What a good token says, and what a test changes of it; nil takes a claim away.
    private func claims(_ time: any TimeSource, _ changes: [String: Any?] = [:]) -> [String: Any] {
        let now = time.wallMilliseconds() / 1000
        var claims: [String: Any] = [
            "iss": Provider.issuer, "aud": "millrace", "sub": "web", "exp": now + 60,
            "nbf": now - 60,
        ]
        for (name, value) in changes { claims[name] = value }
        return claims
    }

    @Test(arguments: ["h", "e", "r"])
    func `of each algorithm is taken, and remembered until it ends`(kid: String) async throws {
        let provider = try await Provider()
        let fixture = try await fixture(provider)
        let token = try await provider.sign(claims(fixture.time), kid: kid)
        let grant = try #require(fixture.grant(token))
        #expect(grant.principal.name == "web")
        #expect(fixture.grant(token) === grant, "not verified a second time")
        fixture.time.advance(by: .milliseconds(60_999))
        #expect(fixture.grant(token) != nil)
        fixture.time.advance(by: .milliseconds(1))
        #expect(fixture.grant(token) == nil)
    }

    @Test func `with claims that do not fit is refused`() async throws {
        let provider = try await Provider()
        let fixture = try await fixture(provider)
        let now = fixture.time.wallMilliseconds() / 1000
        let bad: [[String: Any?]] = [
            ["iss": "https://evil.example"], ["iss": nil], ["iss": ["https://id.example"]],
            ["aud": "other"], ["aud": nil], ["aud": ["a", "b"]], ["aud": [String]()], ["aud": 7],
            ["exp": now - 2], ["exp": nil], ["exp": "\(now + 60)"], ["exp": -1], ["exp": 1e300],
            ["nbf": now + 3], ["nbf": "soon"], ["sub": nil], ["sub": "nobody"], ["sub": ""],
            ["sub": 7], ["sub": "a\nb"], ["millrace": ["allow": ["topic:a=fly"]]],
            ["millrace": ["alow": ["topic:a=read"]]], ["millrace": "topic:*=all"],
        ]
        for change in bad {
            let token = try await provider.sign(claims(fixture.time, change), kid: "e")
            #expect(fixture.grant(token) == nil, "\(change)")
        }
        for change in [["aud": ["x", "millrace"]], ["nbf": nil], ["exp": Double(now) + 0.5]] {
            let token = try await provider.sign(
                claims(fixture.time, change as [String: Any?]), kid: "e")
            #expect(fixture.grant(token) != nil, "\(change)")
        }
    }

    /// RFC 8725 §2.1: `none`, and a public key passed off as a shared secret.
    @Test func `unsigned, or signed for another algorithm, is refused`() async throws {
        let provider = try await Provider()
        let fixture = try await fixture(provider)
        let claims = claims(fixture.time)
        let body = base64URL(Array(try JSONSerialization.data(withJSONObject: claims)))
        for algorithm in ["none", "None", "NONE", "", "HS512", "RS512", "PS256", "ES384", "EdDSA"] {
            let head = base64URL(Array(#"{"alg":"\#(algorithm)","kid":"r"}"#.utf8))
            #expect(fixture.grant("\(head).\(body).") == nil)
            #expect(fixture.grant("\(head).\(body).AAAA") == nil)
        }
        // HS256 with the bytes of the RSA public key as the secret, in several spellings of it.
        let publicKey = provider.rsa.publicKey
        let spellings = [
            Array(publicKey.pemRepresentation.utf8), Array(publicKey.derRepresentation),
            Array(try publicKey.getKeyPrimitives().modulus),
        ]
        for (secret, kid) in spellings.flatMap({ [($0, "r"), ($0, "h"), ($0, "e")] }) {
            let head = base64URL(Array(#"{"alg":"HS256","kid":"\#(kid)"}"#.utf8))
            let signed = Array("\(head).\(body)".utf8)
            let code = HMAC<SHA256>.authenticationCode(
                for: signed, using: SymmetricKey(data: secret))
            #expect(fixture.grant("\(head).\(body).\(base64URL(Array(code)))") == nil)
        }
        for (algorithm, kid) in [("RS256", "h"), ("RS256", "e"), ("ES256", "r"), ("HS256", "e")] {
            let token = try await provider.sign(
                claims, header: ["alg": algorithm, "kid": kid], with: kid)
            #expect(fixture.grant(token) == nil, "\(algorithm) by \(kid)")
        }
    }

    @Test func `whose header brings a key, an extension or a name twice is not helped by it`()
        async throws
    {
        let provider = try await Provider()
        let stranger = try await Provider()
        let fixture = try await fixture(provider)
        let claims = claims(fixture.time)
        let point = try #require(stranger.elliptic.publicKey.parameters)
        let own = ["kty": "EC", "crv": "P-256", "x": plain(point.x), "y": plain(point.y)]
        for extra in [["jwk": own], ["jku": "http://127.0.0.1:1/k"], ["x5u": "file:///k"]] {
            var header: [String: Any] = ["alg": "ES256", "kid": "e"]
            header.merge(extra) { $1 }
            let token = try await stranger.sign(claims, header: header, with: "e")
            #expect(fixture.grant(token) == nil)
        }
        for extra in ["crit", "b64", "zip"] {
            let token = try await provider.sign(
                claims, header: ["alg": "ES256", "kid": "e", extra: ["x"]], with: "e")
            #expect(fixture.grant(token) == nil, "\(extra)")
        }
        for kid in ["../../etc/passwd", "' or 1=1", "x", ""] {
            let token = try await provider.sign(
                claims, header: ["alg": "ES256", "kid": kid], with: "e")
            #expect(fixture.grant(token) == nil)
        }
        let unnamed = try await provider.sign(claims, header: ["alg": "ES256"], with: "e")
        #expect(fixture.grant(unnamed) != nil, "there is one key of that kind")
        let head = base64URL(Array(#"{"alg":"ES256","kid":"e"}"#.utf8))
        let body = base64URL(Array(#"{"sub":"a","sub":"web"}"#.utf8))
        let signed = Array("\(head).\(body)".utf8)
        let key = try await provider.keys.getKey(for: "e")
        #expect(fixture.grant("\(head).\(body).\(base64URL(try key.sign(signed)))") == nil)
    }

    @Test func `with any byte changed or cut is refused`() async throws {
        let provider = try await Provider()
        let fixture = try await fixture(provider)
        let token = Array(try await provider.sign(claims(fixture.time), kid: "h").utf8)
        for index in token.indices {
            var other = token
            other[index] = other[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(fixture.grant(String(decoding: other, as: UTF8.self)) == nil, "\(index)")
            #expect(fixture.grant(String(decoding: token[..<index], as: UTF8.self)) == nil)
        }
        for more in ["=", "==", "A", ".", "\n", " "] {
            #expect(fixture.grant(String(decoding: token, as: UTF8.self) + more) == nil)
        }
    }

    @Test func `brings rules of its own, and none that the file denies`() async throws {
        let provider = try await Provider()
        let fixture = try await AccessFixture([web])
        try PrivateFile.replace(
            fixture.directory + "/jwks.json", with: Array(try provider.keySet().utf8))
        try fixture.replace([#"{"principal":"web","deny":["topic:pay=all"]}"#, settings])
        try await fixture.control.load()
        let rules = ["allow": ["topic:*=read"], "deny": ["topic:x=all"]]
        let token = try await provider.sign(claims(fixture.time, ["millrace": rules]), kid: "e")
        let grant = try #require(fixture.grant(token))
        #expect(grant.principal.rules.operations(on: .topic, "a") == .read)
        #expect(grant.principal.rules.operations(on: .topic, "pay").isEmpty)
        #expect(grant.principal.rules.operations(on: .topic, "x").isEmpty)
        let stranger = try await provider.sign(
            claims(fixture.time, ["millrace": rules, "sub": "new"]), kid: "e")
        #expect(fixture.grant(stranger)?.principal.name == "new")
    }

    /// The Kelvin sign is the letter K to a dictionary: who may choose a name must not become Karl.
    @Test func `names a principal by its bytes`() async throws {
        let provider = try await Provider()
        let fixture = try await fixture(provider)
        try fixture.replace([#"{"principal":"Karl","allow":["topic:*=all"]}"#, settings])
        try await fixture.control.load()
        let karl = try await provider.sign(claims(fixture.time, ["sub": "Karl"]), kid: "e")
        #expect(fixture.grant(karl)?.principal.name == "Karl")
        let other = try await provider.sign(claims(fixture.time, ["sub": "\u{212A}arl"]), kid: "e")
        #expect(fixture.grant(other) == nil)
    }

    @Test func `ends when its key goes or its principal changes`() async throws {
        let provider = try await Provider()
        let fixture = try await fixture(provider)
        let token = try await provider.sign(claims(fixture.time), kid: "e")
        let now = fixture.time.wallMilliseconds()
        let first = try #require(fixture.grant(token))
        try fixture.replace([web, settings, #"{"principal":"other"}"#])
        try await fixture.control.load()
        #expect(first.isValid(at: now), "other lines do not disturb it")
        try fixture.replace([#"{"principal":"web"}"#, settings])
        try await fixture.control.load()
        #expect(!first.isValid(at: now))
        let second = try #require(fixture.grant(token))
        try PrivateFile.replace(
            fixture.directory + "/jwks.json",
            with: Array(try await Provider().keySet().utf8))
        #expect(fixture.control.isStale)
        try await fixture.control.load()
        #expect(!second.isValid(at: now))
        #expect(fixture.grant(token) == nil)
    }

    /// What is verified by the file before must not be remembered behind the one that follows.
    @Test func `that is verified while its principal is taken away does not stay`() async throws {
        let provider = try await Provider()
        let fixture = try await fixture(provider)
        let control = fixture.control
        for round in 0..<40 {
            try fixture.replace([web, settings])
            try await control.load()
            var tokens: [[UInt8]] = []
            for number in 0..<20 {
                let changes = ["jti": "\(round) \(number)"]
                let token = try await provider.sign(claims(fixture.time, changes), kid: "e")
                tokens.append(Array(token.utf8))
            }
            try fixture.replace([#"{"principal":"other"}"#, settings])
            let verifying = Task.detached { [tokens] in
                for token in tokens { _ = control.authenticate(token[...], mayVerify: true) }
            }
            try await control.load()
            await verifying.value
            for token in tokens {
                if case .granted = control.authenticate(token[...], mayVerify: true) {
                    Issue.record("granted in round \(round)")
                }
            }
        }
    }

    @Test func `is not verified for who failed too often, unless it was before`() async throws {
        let provider = try await Provider()
        let fixture = try await fixture(provider)
        let token = Array(try await provider.sign(claims(fixture.time), kid: "r").utf8)
        guard case .unverified = fixture.control.authenticate(token[...], mayVerify: false) else {
            return #expect(Bool(false))
        }
        #expect(fixture.grant(String(decoding: token, as: UTF8.self)) != nil)
        guard case .granted = fixture.control.authenticate(token[...], mayVerify: false) else {
            return #expect(Bool(false))
        }
    }

    @Test(arguments: [
        "{}", "[]", #"{"keys":[]}"#, #"{"keys":[{"kty":"oct","kid":"h","k":"c2hvcnQ"}]}"#,
        #"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#,
        #"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}"#, #"{"keys":{}}"#, "x",
        #"{"keys":[{"kty":"OKP"}]}"#,
    ])
    func `needs a key set that is one`(text: String) async {
        await #expect(throws: AccessError.self) { try await KeySet(Array(text.utf8)) }
    }
}
