import Glibc

/// An address of IPv4 or IPv6, without a port. One of IPv4 is kept as IPv6 maps it
/// (::ffff:a.b.c.d), so that both spellings of it are one.
package struct Address: Hashable, Sendable {
    /// 16 bytes, the first of the network first.
    package let bytes: [UInt8]

    package init(v6 bytes: [UInt8]) {
        precondition(bytes.count == 16)
        self.bytes = bytes
    }

    package init(v4 bytes: [UInt8]) {
        precondition(bytes.count == 4)
        self.bytes = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF] + bytes
    }

    /// `192.0.2.1` or `2001:db8::1`, nothing else.
    package init?(_ text: String) {
        // What inet_pton would read as the end of the text, or a zone, is refused.
        guard text.utf8.count <= 45, !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            self.init(v4: Array(bytes[..<4]))
        } else if inet_pton(AF_INET6, text, &bytes) == 1 {
            self.init(v6: bytes)
        } else {
            return nil
        }
    }

    package var isIPv4: Bool {
        bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
    }

    package var text: String {
        if isIPv4 { return bytes[12...].map { "\($0)" }.joined(separator: ".") }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(AF_INET6, bytes, &text, socklen_t(text.count)) != nil else { return "" }
        return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    /// What is one client as far as anyone can tell: an address of IPv4, a /64 network of IPv6.
    package var client: Address {
        isIPv4 ? self : Address(v6: Array(bytes[..<8]) + [UInt8](repeating: 0, count: 8))
    }
}

/// Addresses that begin alike: `10.0.0.0/8`, `2001:db8::/32`, or a single one.
package struct AddressRange: Equatable, Sendable {
    private let bytes: [UInt8]
    private let bitCount: Int

    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = Address(String(parts[0])) else { return nil }
        bytes = address.bytes
        let most = address.isIPv4 ? 32 : 128
        guard parts.count == 2 else {
            bitCount = 128
            return
        }
        guard parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let bits = Int(parts[1]), bits <= most
        else { return nil }
        bitCount = address.isIPv4 ? 96 + bits : bits
    }

    package func contains(_ address: Address) -> Bool {
        for index in 0..<16 {
            let bits = min(max(bitCount - index * 8, 0), 8)
            let mask = UInt8(truncatingIfNeeded: 0xFF00 >> bits)
            if (bytes[index] ^ address.bytes[index]) & mask != 0 { return false }
        }
        return true
    }
}
