import Access
import ArgumentParser
import Glibc
import HTTPServer

/// The options of `serve` that say who may come, and from where.
struct AccessOptions: ParsableArguments {
    @Option(help: "Who may do what: principals, tokens and JWT settings; see `millrace token`.")
    var accessFile: String?

    /// Beside addresses, localhost and names without a dot.
    @Option(help: "Names a Host may have, by commas; *.example.com takes all below, * any.")
    var allowedHosts = ""

    @Option(
        name: .customLong("cors-origins"),
        help: "Origins whose pages may call the gateway, by commas; * takes all.")
    var corsOriginList = ""

    @Option(help: "Balancers in front, as addresses or networks (10.0.0.0/8), by commas.")
    var trustedProxies = ""

    @Option(help: "The one field in which they name the client: x-forwarded-for, forwarded, none.")
    var forwardedField = "x-forwarded-for"

    @Flag(help: "The trusted proxies begin each connection with the PROXY protocol's header.")
    var proxyProtocol = false

    @Option(help: "Requests a second of a principal whose line says nothing else.")
    var requestsPerSecond: Int64?

    @Option(help: "Bytes a second a principal may send.")
    var bytesInPerSecond: Int64?

    @Option(help: "Bytes a second a principal may receive.")
    var bytesOutPerSecond: Int64?

    /// Those that have a variable.
    static let flags = [
        "--access-file", "--allowed-hosts", "--cors-origins", "--trusted-proxies",
        "--forwarded-field", "--requests-per-second", "--bytes-in-per-second",
        "--bytes-out-per-second",
    ]

    static let switches = ["--proxy-protocol"]

    func validate() throws {
        for text in Self.list(trustedProxies) where AddressRange(text) == nil {
            throw ValidationError(
                "--trusted-proxies: \(text) is no address or network like 10.0.0.0/8.")
        }
        guard TrustedProxies.Field(rawValue: forwardedField) != nil else {
            throw ValidationError("--forwarded-field must be x-forwarded-for, forwarded or none.")
        }
        if proxyProtocol, trustedProxies.isEmpty {
            throw ValidationError("--proxy-protocol needs --trusted-proxies.")
        }
        for origin in corsOrigins where origin != "*" {
            let isOrigin = ["http://", "https://"].contains {
                origin.hasPrefix($0) && origin.count > $0.count
                    && !origin.dropFirst($0.count).contains("/")
            }
            let isPlain = origin.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
            guard isOrigin, isPlain else {
                throw ValidationError(
                    "--cors-origins: \(origin) is no origin like https://app.example.com.")
            }
        }
        let quotas = [requestsPerSecond, bytesInPerSecond, bytesOutPerSecond].compactMap { $0 }
        guard quotas.allSatisfy({ $0 >= 1 }) else {
            throw ValidationError("A quota must be at least 1 a second.")
        }
        if !quotas.isEmpty, accessFile == nil {
            throw ValidationError("Quotas are of principals: they need --access-file.")
        }
    }

    var corsOrigins: [String] { Self.list(corsOriginList) }

    var quota: Quota {
        Quota(requests: requestsPerSecond, bytesIn: bytesInPerSecond, bytesOut: bytesOutPerSecond)
    }

    var proxies: TrustedProxies {
        var proxies = TrustedProxies()
        proxies.ranges = Self.list(trustedProxies).compactMap { AddressRange($0) }
        proxies.field = TrustedProxies.Field(rawValue: forwardedField) ?? .none
        proxies.sendsProxyHeader = proxyProtocol
        return proxies
    }

    /// Which names are ours; nil: any. A page of another site that had its name rebound to us has
    /// no token, so with authentication, and off loopback, no list means any name.
    func hosts(listeningOn host: String) -> [String]? {
        let listed = Self.list(allowedHosts)
        if listed.contains("*") { return nil }
        if listed.isEmpty, accessFile != nil, !Self.isLoopback(host) { return nil }
        return listed + [host]
    }

    static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" { return true }
        guard let address = Address(host) else { return false }
        return address.isIPv4 ? address.bytes[12] == 127 : host == "::1"
    }

    private static func list(_ text: String) -> [String] {
        text.split(separator: ",").map { String($0.trimmed) }.filter { !$0.isEmpty }
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        var text = self
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return text
    }
}
