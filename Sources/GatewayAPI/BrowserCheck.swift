import HTTPServer

/// Keeps web pages of other sites from using a gateway their visitor can reach (CSRF, DNS
/// rebinding): a request that a browser marks as foreign is refused before anything is done.
/// Programs send neither field and are not touched.
enum BrowserCheck {
    static func check(_ head: RequestHead) throws(Problem) {
        if let origin = head.value(of: .origin), !isOwn(head.bytes[origin], head) {
            throw foreign("`Origin`")
        }
        if let site = head.value(of: .secFetchSite),
            head.bytes[site].elementsEqual("cross-site".utf8)
        {
            throw foreign("`Sec-Fetch-Site`")
        }
    }

    /// `http://` or `https://` (a balancer may end TLS) and then exactly the Host; `null` is
    /// foreign.
    private static func isOwn(_ origin: ArraySlice<UInt8>, _ head: RequestHead) -> Bool {
        guard let host = head.value(of: .host) else { return false }
        for scheme in ["http://", "https://"] where origin.starts(with: scheme.utf8) {
            return origin.dropFirst(scheme.utf8.count).elementsEqual(head.bytes[host])
        }
        return false
    }

    private static func foreign(_ field: String) -> Problem {
        Problem(
            .foreignOrigin,
            "\(field) says that a page of another site sent this. Call the gateway from a "
                + "program, or "
                + "from a page of the same origin.")
    }
}
