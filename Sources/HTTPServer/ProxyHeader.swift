/// The PROXY protocol's header (HAProxy's proxy-protocol.txt 2.x), which a balancer that forwards
/// connections puts in front of the client's bytes to say who the client is.
///
/// Version 1 is a line, `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443` CR LF, 107 bytes at most.
/// Version 2 is binary:
///
///     at  size  field
///      0    12  signature 0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A
///     12     1  version 2 in the high bits, command in the low: 0 LOCAL, 1 PROXY
///     13     1  family in the high bits (1 IPv4, 2 IPv6), protocol in the low (1 stream)
///     14     2  length of what follows
///     16     n  source address, destination address, ports; then extensions, not looked at
package enum ProxyHeader: Equatable, Sendable {
    /// Bytes of a version 2 header, extensions included, that are waited for.
    package static let byteLimit = 16 + 2048
    private static let lineLimit = 107
    private static let signature: [UInt8] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ]

    /// More bytes are needed.
    case needMore
    /// No header, or a broken one: the connection must be closed.
    case malformed
    /// `source` is nil where the balancer speaks for itself (a health check) or does not know.
    case complete(byteCount: Int, source: Address?)

    /// Reads the header at the front of `bytes`.
    package static func parse(_ bytes: ArraySlice<UInt8>) -> ProxyHeader {
        guard let first = bytes.first else { return .needMore }
        return first == signature[0] ? parseBinary(bytes) : parseLine(bytes)
    }

    private static func parseBinary(_ bytes: ArraySlice<UInt8>) -> ProxyHeader {
        let start = bytes.startIndex
        guard bytes.prefix(12).elementsEqual(signature.prefix(bytes.count)) else {
            return .malformed
        }
        guard bytes.count >= 16 else { return .needMore }
        let length = Int(bytes[start + 14]) << 8 | Int(bytes[start + 15])
        guard bytes[start + 12] >> 4 == 2, 16 + length <= byteLimit else { return .malformed }
        guard bytes.count >= 16 + length else { return .needMore }
        let block = bytes[(start + 16)..<(start + 16 + length)]
        let byteCount = 16 + length
        switch (bytes[start + 12] & 15, bytes[start + 13]) {
        case (0, _): return .complete(byteCount: byteCount, source: nil)
        case (1, 0x11) where length >= 12:
            return .complete(byteCount: byteCount, source: Address(v4: Array(block.prefix(4))))
        case (1, 0x21) where length >= 36:
            return .complete(byteCount: byteCount, source: Address(v6: Array(block.prefix(16))))
        case (1, 0x11), (1, 0x21): return .malformed
        // Other families and UNSPEC: the receiver is to use the connection's own addresses.
        case (1, _): return .complete(byteCount: byteCount, source: nil)
        default: return .malformed
        }
    }

    private static func parseLine(_ bytes: ArraySlice<UInt8>) -> ProxyHeader {
        let prefix = Array("PROXY ".utf8)
        guard bytes.prefix(6).elementsEqual(prefix.prefix(bytes.count)) else { return .malformed }
        guard let end = bytes.prefix(lineLimit).firstIndex(of: 0x0A) else {
            return bytes.count < lineLimit ? .needMore : .malformed
        }
        guard end > bytes.startIndex, bytes[end - 1] == 0x0D else { return .malformed }
        let byteCount = end + 1 - bytes.startIndex
        let line = bytes[bytes.startIndex..<(end - 1)]
        guard line.allSatisfy({ (0x20...0x7E).contains($0) }) else { return .malformed }
        let words = line.split(separator: 0x20, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        if words.count >= 2, words[1] == "UNKNOWN" {
            return .complete(byteCount: byteCount, source: nil)
        }
        guard words.count == 6, let source = Address(words[2]), Address(words[3]) != nil,
            isPort(words[4]), isPort(words[5]),
            words[1] == (words[2].utf8.contains(UInt8(ascii: ":")) ? "TCP6" : "TCP4")
        else { return .malformed }
        return .complete(byteCount: byteCount, source: source)
    }

    private static func isPort(_ word: String) -> Bool {
        (1...5).contains(word.utf8.count) && UInt16(word) != nil && word.first != "+"
            && (word == "0" || word.first != "0")
    }
}
