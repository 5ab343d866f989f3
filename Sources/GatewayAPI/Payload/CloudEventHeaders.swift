import Backends
package import HTTPServer
import JSON

/// CloudEvents in binary mode: attributes in `ce-*` fields, data in the body.
///
/// Sources: HTTP protocol binding §3.1, Kafka protocol binding §3.2.
package enum CloudEventHeaders {
    /// Whether a request has any `ce-*` field.
    static func stand(in head: borrowing RequestHead) -> Bool {
        var isFound = false
        let bytes = head.bytes
        head.forEachField { name, _ in
            if isAttribute(bytes, name) { isFound = true }
        }
        return isFound
    }

    @inline(__always)
    private static func isAttribute(_ bytes: [UInt8], _ name: Range<Int>) -> Bool {
        name.count > 3 && bytes[name.lowerBound] == UInt8(ascii: "c")
            && bytes[name.lowerBound + 1] == UInt8(ascii: "e")
            && bytes[name.lowerBound + 2] == UInt8(ascii: "-")
    }

    /// The event as a record: the body is its value, headers `ce_<attribute>` and `content-type`.
    /// A body of no bytes without Content-Type is an event without data, which the Kafka binding
    /// §3.2.2 makes a record without value. The key, if any, is the whole of `decoded`.
    package static func record(
        _ head: borrowing RequestHead, body: [UInt8], decoded: inout [UInt8]
    ) throws(Problem) -> ParsedRecord {
        var fields: [(name: Range<Int>, value: Range<Int>)] = []
        let bytes = head.bytes
        head.forEachField { name, value in
            if isAttribute(bytes, name) { fields.append((name, value)) }
        }
        var record = ParsedRecord()
        do throws(PayloadFault) {
            var attributes = CloudEventAttributes()
            for field in fields {
                let name = Array(bytes[(field.name.lowerBound + 3)..<field.name.upperBound])
                let value = try attributeValue(bytes, field.value, name)
                try attributes.add(name, .text(value), at: 0)
                let header = Array("ce_".utf8) + name
                record.headers.append(name: header.span, value: value.span)
            }
            try attributes.check(at: 0)
            if let key = attributes.partitionKey {
                decoded = key
                record.key = .decoded(0..<key.count)
            }
        } catch {
            let header = error.field.map { "ce-\($0)" } ?? "ce-*"
            throw Problem(
                error.code, "The header \(header): \(error.detail)", [("field", .string(header))])
        }
        let contentType = head.value(of: .contentType)
        if let contentType {
            let name = CloudEvent.contentTypeName
            record.headers.append(name: name.span, value: bytes.span.extracting(contentType))
        }
        if contentType != nil || !body.isEmpty { record.value = .given(0..<body.count) }
        return record
    }

    /// HTTP binding §3.1.3.2: quotes first, then one round of percent-decoding.
    private static func attributeValue(
        _ bytes: [UInt8], _ range: Range<Int>, _ name: [UInt8]
    ) throws(PayloadFault) -> [UInt8] {
        let field = String(decoding: name.prefix(64), as: UTF8.self)
        if field == "datacontenttype" {
            throw PayloadFault(
                .invalidCloudEvent, "in binary mode it is the header Content-Type.", at: 0,
                field: field)
        }
        let text = unquoted(bytes[range])
        var value: [UInt8] = []
        var at = 0
        while at < text.count {
            if text[at] == UInt8(ascii: "%") {
                guard at + 2 < text.count, let high = hexDigit(text[at + 1]),
                    let low = hexDigit(text[at + 2])
                else {
                    throw PayloadFault(
                        .invalidCloudEvent, "a percent sign needs two hex digits; write it as %25.",
                        at: 0, field: field)
                }
                value.append(high << 4 | low)
                at += 3
            } else {
                value.append(text[at])
                at += 1
            }
        }
        return value
    }

    /// What a quoted-string (RFC 9110 §5.6.4) quotes; other text as it is.
    private static func unquoted(_ text: ArraySlice<UInt8>) -> [UInt8] {
        guard text.count >= 2, text.first == UInt8(ascii: "\""), text.last == UInt8(ascii: "\"")
        else { return Array(text) }
        var value: [UInt8] = []
        var isEscaped = false
        for byte in text.dropFirst().dropLast() {
            if byte == UInt8(ascii: "\\"), !isEscaped {
                isEscaped = true
            } else {
                value.append(byte)
                isEscaped = false
            }
        }
        return value
    }
}
