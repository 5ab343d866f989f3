extension Connection {
    private var proxies: TrustedProxies { server.configuration.proxies }

    /// Whether this connection must begin with the PROXY protocol's header: those of the listed
    /// balancers, where they send it. All others speak for themselves, and a header of theirs is a
    /// bad request.
    var awaitsProxyHeader: Bool {
        proxies.sendsProxyHeader && (peerAddress.map(proxies.trusts) ?? false)
    }

    /// Takes the header off; false where there is none, and the connection is to be closed without
    /// a word: whoever writes here is no client.
    func readProxyHeader() async -> Bool {
        setDeadline(.head, after: limits.headDeadline)
        defer { setDeadline(nil) }
        while true {
            switch ProxyHeader.parse(input[inputStart...]) {
            case .complete(let byteCount, let source):
                use(byteCount)
                proxiedAddress = source
                return true
            case .malformed: return false
            case .needMore: guard await fill() else { return false }
            }
        }
    }

    /// Who asks: as the PROXY header says, or `Forwarded` from a listed balancer, else the peer.
    func clientAddress(_ head: RequestHead) -> Address? {
        guard let address = proxiedAddress ?? peerAddress else { return nil }
        return proxies.ranges.isEmpty ? address : proxies.client(head, from: address)
    }
}
