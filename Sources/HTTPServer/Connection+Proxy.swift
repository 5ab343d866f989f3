extension Connection {
    private var proxies: TrustedProxies { server.configuration.proxies }

    /// Whether this connection must begin with the PROXY protocol's header: those of the listed
    /// balancers, where they send it. All others speak for themselves, and a header of theirs is a
    /// bad request.
    var awaitsProxyHeader: Bool {
        proxies.sendsProxyHeader && proxies.trusts(peerAddress)
    }

    /// Takes the header off; false where there is none, or its client has its share of connections:
    /// the connection is to be closed without a word.
    func readProxyHeader() async -> Bool {
        setDeadline(.head, after: limits.headDeadline)
        defer { setDeadline(nil) }
        while true {
            switch ProxyHeader.parse(input[inputStart...]) {
            case .complete(let byteCount, let source):
                use(byteCount)
                proxiedAddress = source
                return takeShare()
            case .malformed: return false
            case .needMore: guard await fill() else { return false }
            }
        }
    }

    /// Counts the connection as one of its client's, of which there may be too many already.
    private func takeShare() -> Bool {
        guard let client = proxiedAddress, !proxies.trusts(client) else { return true }
        let isAdmitted = server.budget.admit(client.client)
        if isAdmitted { countedAddress = client.client } else { server.statistics.refused.add(1) }
        return isAdmitted
    }

    /// Who asks: as the PROXY header says, or `Forwarded` from a listed balancer, else the peer. A
    /// balancer that sends the header writes no field: where it names nobody, a field is the
    /// client's own word.
    func clientAddress(_ head: RequestHead) -> Address {
        if awaitsProxyHeader, proxiedAddress == nil { return peerAddress }
        let address = proxiedAddress ?? peerAddress
        return proxies.ranges.isEmpty ? address : proxies.client(head, from: address)
    }
}
