import HTTPServer

/// Keeps web pages of other sites from using a gateway their visitor can reach (CSRF, DNS
/// rebinding): a request to another name, or one that a browser marks as foreign, is refused before
/// anything is done. Programs send none of the fields and are not touched.
struct BrowserPolicy: Sendable {
    /// In lower case; nil: every name is taken.
    private let hosts: [[UInt8]]?
    private let origins: [[UInt8]]
    private let allowsAllOrigins: Bool

    init(_ configuration: GatewayConfiguration) {
        hosts = configuration.allowedHosts.map { $0.map { Array($0.lowercased().utf8) } }
        origins = configuration.corsOrigins.map { Array($0.lowercased().utf8) }
        allowsAllOrigins = configuration.corsOrigins.contains("*")
    }

    // MARK: - Hot path

    /// True where it was a preflight, which is answered.
    func answers(_ exchange: Exchange) throws(Problem) -> Bool {
        let head = exchange.head
        // Of each answer: a cache must not give a page the one that another, or none, was given.
        if !origins.isEmpty, !allowsAllOrigins { exchange.addedFields.append(("vary", "origin")) }
        if let hosts, let host = head.value(of: .host), !isOwn(head.bytes[host], hosts) {
            throw Problem(
                .misdirectedRequest,
                "This gateway does not go by the name in `Host`. Start it with --allowed-hosts "
                    + "and that name if it should.")
        }
        if let origin = head.value(of: .origin) {
            return try checkOrigin(head.bytes[origin], exchange)
        }
        if let site = head.value(of: .secFetchSite),
            head.bytes[site].elementsEqual("cross-site".utf8)
        {
            throw foreign("`Sec-Fetch-Site`")
        }
        return false
    }

    /// Rebinding needs a name that the attacker owns: addresses are none, and neither are
    /// `localhost` and names without a dot. All others must be listed.
    private func isOwn(_ host: ArraySlice<UInt8>, _ listed: [[UInt8]]) -> Bool {
        if host.first == UInt8(ascii: "[") { return true }
        var end = host.startIndex
        var hasDot = false
        var isNumeric = true
        while end < host.endIndex, host[end] != UInt8(ascii: ":") {
            let byte = host[end]
            if byte == UInt8(ascii: ".") {
                hasDot = true
            } else if byte &- 0x30 > 9 {
                isNumeric = false
            }
            end += 1
        }
        if !hasDot || isNumeric { return true }
        var name = host[host.startIndex..<end].map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 }
        // `example.com.` is the same name.
        if name.last == UInt8(ascii: ".") { name.removeLast() }
        if name.elementsEqual("localhost".utf8) || name.suffix(10).elementsEqual(".localhost".utf8)
        {
            return true
        }
        return listed.contains { entry in
            entry.first == UInt8(ascii: "*")
                ? name.suffix(entry.count - 1).elementsEqual(entry.dropFirst()) : entry == name
        }
    }

    // MARK: - CORS

    /// The gateway's own pages, or those of an origin that is listed; `null` is neither.
    private func checkOrigin(
        _ origin: ArraySlice<UInt8>, _ exchange: Exchange
    ) throws(Problem) -> Bool {
        if isOwn(origin, exchange.head) { return false }
        let isNull = origin.elementsEqual("null".utf8)
        let listed = origins.first { $0.elementsEqual(origin) }
        guard !isNull, allowsAllOrigins || listed != nil else { throw foreign("`Origin`") }
        // Our own bytes, never those of the request.
        exchange.addedFields.append(
            (
                "access-control-allow-origin",
                allowsAllOrigins ? "*" : String(decoding: listed ?? [], as: UTF8.self)
            ))
        guard exchange.head.method == .options,
            exchange.head.value(of: .accessControlRequestMethod) != nil
        else {
            exchange.addedFields.append(
                (
                    "access-control-expose-headers",
                    "retry-after, www-authenticate, etag, idempotent-replayed"
                ))
            return false
        }
        // A public page must not reach into a private network on its visitor's behalf.
        guard exchange.head.value(of: .accessControlRequestPrivateNetwork) == nil else {
            exchange.addedFields = []
            throw foreign("`Access-Control-Request-Private-Network`")
        }
        exchange.addedFields += Self.preflightFields
        exchange.respond(Response(status: 204, contentType: nil))
        return true
    }

    private static let preflightFields: [(name: String, value: String)] = [
        ("access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE"),
        (
            "access-control-allow-headers",
            "authorization, content-type, content-encoding, last-event-id, idempotency-key, "
                + "if-end-offset, if-none-match, producer-id, producer-epoch, producer-sequence, "
                + "traceparent, ce-specversion, ce-id, ce-source, ce-type, ce-subject, ce-time, "
                + "ce-dataschema, ce-partitionkey"
        ),
        ("access-control-max-age", "600"),
    ]

    /// `http://` or `https://` (a balancer may end TLS) and then exactly the Host; `null` is
    /// foreign.
    private func isOwn(_ origin: ArraySlice<UInt8>, _ head: RequestHead) -> Bool {
        guard let host = head.value(of: .host) else { return false }
        for scheme in ["http://", "https://"] where origin.starts(with: scheme.utf8) {
            return origin.dropFirst(scheme.utf8.count).elementsEqual(head.bytes[host])
        }
        return false
    }

    private func foreign(_ field: String) -> Problem {
        Problem(
            .foreignOrigin,
            "\(field) says that a page of another site sent this. Call the gateway from a "
                + "program, from a page of the same origin, or start it with --cors-origins and "
                + "that origin.")
    }
}
