package import HTTPServer

/// `traceparent` of W3C Trace Context: `version-traceid-parentid-flags` in lower-case hex. A value
/// that breaks the grammar is as if it were not there (§3.2.2.2).
package enum TraceContext {
    /// The header of a record that keeps it, as the field is called.
    package static let headerName: [UInt8] = Array("traceparent".utf8)

    /// The value of the request, where it is one and there is one only.
    package static func traceparent(_ head: borrowing RequestHead) -> Range<Int>? {
        guard let value = head.value(of: .traceparent), isTraceparent(head.bytes[value]),
            head.values(of: .traceparent).count == 1
        else { return nil }
        return value
    }

    /// Version 00 has 55 bytes; a later one may go on behind a further dash.
    package static func isTraceparent(_ text: ArraySlice<UInt8>) -> Bool {
        let bytes = Array(text)
        guard bytes.count >= 55, bytes.count <= 256, bytes[2] == UInt8(ascii: "-"),
            bytes[35] == UInt8(ascii: "-"), bytes[52] == UInt8(ascii: "-")
        else { return false }
        let parts = [bytes[0..<2], bytes[3..<35], bytes[36..<52], bytes[53..<55]]
        guard parts.allSatisfy({ $0.allSatisfy(isLowerHex) }),
            // Version ff is forbidden, and ids of zeros name nothing.
            !parts[0].elementsEqual("ff".utf8), parts[1].contains(where: { $0 != 0x30 }),
            parts[2].contains(where: { $0 != 0x30 })
        else { return false }
        if bytes.count == 55 { return true }
        return !parts[0].elementsEqual("00".utf8) && bytes[55] == UInt8(ascii: "-")
    }

    private static func isLowerHex(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
    }
}
