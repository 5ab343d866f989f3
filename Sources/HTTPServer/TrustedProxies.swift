/// The balancers in front, and what they are believed.
package struct TrustedProxies: Sendable {
    package enum Field: String, CaseIterable, Sendable {
        case xForwardedFor = "x-forwarded-for"
        case forwarded
        case none
    }

    /// Whom to believe; nobody by default.
    package var ranges: [AddressRange] = []
    /// The one field the balancers write. Any other would be the client's own word, passed on.
    package var field = Field.xForwardedFor
    /// Whether their connections begin with the PROXY protocol's header. It is never guessed: where
    /// a balancer sends none, a client could write one.
    package var sendsProxyHeader = false

    package init() {}

    func trusts(_ address: Address) -> Bool { ranges.contains { $0.contains(address) } }

    /// The client of a request that came from `peer`: the last address of the list that is no
    /// balancer of ours. What stands before it may be invented.
    func client(_ head: RequestHead, from peer: Address) -> Address {
        guard field != .none, trusts(peer) else { return peer }
        let name: FieldName = field == .forwarded ? .forwarded : .xForwardedFor
        var client = peer
        for line in head.values(of: name).reversed() {
            for element in head.bytes[line].split(separator: UInt8(ascii: ",")).reversed() {
                let node = field == .forwarded ? Self.forwardedNode(element) : element
                guard let node, let address = Self.address(ofNode: node) else { return client }
                client = address
                if !trusts(address) { return client }
            }
        }
        return client
    }

    /// The value of `for` in an element of `Forwarded` (RFC 7239 §4), without its quotes.
    private static func forwardedNode(_ element: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        for pair in element.split(separator: UInt8(ascii: ";")) {
            let pair = trimmed(pair)
            guard pair.count > 4, lowercased(pair[pair.startIndex]) == UInt8(ascii: "f"),
                lowercased(pair[pair.startIndex + 1]) == UInt8(ascii: "o"),
                lowercased(pair[pair.startIndex + 2]) == UInt8(ascii: "r"),
                pair[pair.startIndex + 3] == UInt8(ascii: "=")
            else { continue }
            var node = pair.dropFirst(4)
            if node.count >= 2, node.first == UInt8(ascii: "\""), node.last == UInt8(ascii: "\"") {
                node = node.dropFirst().dropLast()
            }
            return node
        }
        return nil
    }

    /// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
    private static func address(ofNode node: ArraySlice<UInt8>) -> Address? {
        var node = trimmed(node)
        if node.first == UInt8(ascii: "[") {
            guard let end = node.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            node = node[(node.startIndex + 1)..<end]
        } else if node.count(where: { $0 == UInt8(ascii: ":") }) == 1,
            let colon = node.firstIndex(of: UInt8(ascii: ":"))
        {
            node = node[..<colon]
        }
        return Address(String(decoding: node, as: UTF8.self))
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var bytes = bytes
        while let first = bytes.first, first == 0x20 || first == 0x09 { bytes.removeFirst() }
        while let last = bytes.last, last == 0x20 || last == 0x09 { bytes.removeLast() }
        return bytes
    }
}
