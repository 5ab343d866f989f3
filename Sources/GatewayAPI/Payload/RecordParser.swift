import Backends
package import JSON

/// Reads a record object as clients post it: what `RecordJSON` writes, and less.
///
/// Only `value` is required. A member that is `null` counts as left out, but for `value`, where it
/// makes a tombstone. `offset` is taken and not used, so that what was read can be posted back;
/// `topic` must be the topic posted to, because a record in another one than it says would be a
/// silent surprise. JSON values are kept as the bytes they came in, without white space around
/// them.
package struct RecordParser {
    private let topic: String
    /// Decoded strings of the record read last; `FieldBytes.decoded` points into it.
    package private(set) var decoded: [UInt8] = []

    package init(topic: String) { self.topic = topic }

    // MARK: - Hot path

    /// The next value of `reader`, a record object. Budget: 0.5 µs for a small one; allocates only
    /// for headers, escapes and Base64.
    package mutating func parse(_ reader: inout JSONReader) throws(PayloadFault) -> ParsedRecord {
        decoded.removeAll(keepingCapacity: true)
        var record = ParsedRecord()
        var seen: UInt16 = 0
        var key: JSONString?
        var keyEncoding = Encoding.text
        var value: Range<Int>?
        var valueEncoding: Encoding?
        try reader.openObject()
        let start = reader.position - 1
        while let name = try reader.takeMember() {
            let member = try member(name, reader, &seen)
            if member != .value, try reader.peekKind(member.rawValue) == .null {
                _ = try reader.takeValue()
                continue
            }
            switch member {
            case .key: key = try reader.takeString("key")
            case .value: value = try reader.takeValue("value")
            case .headers: try parseHeaders(&reader, to: &record.headers)
            case .timestamp: record.timestamp = try natural(&reader, member)
            case .partition: record.partition = Int(try natural(&reader, member))
            case .offset: _ = try natural(&reader, member)
            case .topic: try checkTopic(&reader)
            case .keyEncoding: keyEncoding = try encoding(&reader, member)
            case .valueEncoding: valueEncoding = try encoding(&reader, member)
            }
        }
        guard let value else {
            throw PayloadFault(
                .missingField, "every record needs one; null makes a tombstone.", at: start,
                field: "value")
        }
        if let key { record.key = try bytes(key, keyEncoding, reader, "key") }
        record.value = try bytes(of: value, valueEncoding, reader)
        return record
    }

    /// Which member a name is; each may stand once.
    private func member(
        _ name: JSONString, _ reader: borrowing JSONReader, _ seen: inout UInt16
    ) throws(PayloadFault) -> Member {
        let known =
            name.hasEscapes
            ? Member(try reader.unescaped(name, nil)[...]) : Member(reader.bytes[name.range])
        guard let known else {
            let text = String(decoding: reader.bytes[name.range].prefix(64), as: UTF8.self)
            throw PayloadFault(
                .unknownField,
                "a record has no such member; it may have topic, partition, offset, timestamp, "
                    + "key, keyEncoding, value, valueEncoding and headers.",
                at: name.range.lowerBound, field: text)
        }
        guard seen & known.bit == 0 else {
            throw PayloadFault(
                .invalidField, "it stands twice.", at: name.range.lowerBound,
                field: known.rawValue)
        }
        seen |= known.bit
        return known
    }

    /// The bytes of a key.
    private mutating func bytes(
        _ string: JSONString, _ encoding: Encoding, _ reader: borrowing JSONReader, _ field: String
    ) throws(PayloadFault) -> FieldBytes {
        switch encoding {
        case .text:
            guard string.hasEscapes else { return .given(string.range) }
            let start = decoded.count
            decoded.append(contentsOf: try reader.unescaped(string, field))
            return .decoded(start..<decoded.count)
        case .base64:
            let start = decoded.count
            let isBase64 =
                string.hasEscapes
                ? Base64.decode(try reader.unescaped(string, field)[...], to: &decoded)
                : Base64.decode(reader.bytes[string.range], to: &decoded)
            guard isBase64 else {
                throw PayloadFault(
                    .invalidField,
                    "this is no Base64 of RFC 4648 §4 with padding and without white space.",
                    at: string.range.lowerBound, field: field)
            }
            return .decoded(start..<decoded.count)
        }
    }

    /// The bytes of a value: itself, or what its string carries.
    private mutating func bytes(
        of value: Range<Int>, _ encoding: Encoding?, _ reader: borrowing JSONReader
    ) throws(PayloadFault) -> FieldBytes {
        guard let encoding else {
            // Nothing else of JSON begins with n.
            let isNull = reader.bytes[value.lowerBound] == UInt8(ascii: "n")
            return isNull ? .none : .given(value)
        }
        var inner = JSONReader(reader.bytes, in: value)
        let string = try inner.takeString("value")
        return try bytes(string, encoding, reader, "value")
    }

    // MARK: - The other members

    /// A number that is 0 or more.
    private func natural(
        _ reader: inout JSONReader, _ member: Member
    ) throws(PayloadFault) -> Int64 {
        let start = reader.position
        let number = try reader.takeInteger(member.rawValue)
        guard number >= 0 else {
            throw PayloadFault(
                .invalidField, "it must be 0 or more.", at: start, field: member.rawValue)
        }
        return number
    }

    private func encoding(
        _ reader: inout JSONReader, _ member: Member
    ) throws(PayloadFault) -> Encoding {
        let string = try reader.takeString(member.rawValue)
        if reader.matches(string, "text") { return .text }
        if reader.matches(string, "base64") { return .base64 }
        throw PayloadFault(
            .invalidField, "it must be text or base64, or left out.",
            at: string.range.lowerBound, field: member.rawValue)
    }

    private func checkTopic(_ reader: inout JSONReader) throws(PayloadFault) {
        let string = try reader.takeString("topic")
        guard reader.matches(string, topic) else {
            throw PayloadFault(
                .invalidField,
                "it names another topic than the path, \(topic). Leave it out to copy records.",
                at: string.range.lowerBound, field: "topic")
        }
    }

    // MARK: - Headers

    private func parseHeaders(
        _ reader: inout JSONReader, to headers: inout RecordHeaders
    ) throws(PayloadFault) {
        try reader.openObject("headers")
        var names = Set<[UInt8]>()
        while let string = try reader.takeMember() {
            let name = try reader.unescaped(string, "headers")
            guard names.insert(name).inserted else {
                throw PayloadFault(
                    .invalidField, "a name stands twice; give a repeated header as an array.",
                    at: string.range.lowerBound, field: "headers")
            }
            guard try reader.peekKind("headers") == .array else {
                try parseHeaderValue(&reader, name, to: &headers)
                continue
            }
            let start = reader.position
            let before = headers.count
            try reader.openArray("headers")
            while try reader.takeElement() { try parseHeaderValue(&reader, name, to: &headers) }
            guard headers.count > before else {
                throw PayloadFault(
                    .invalidField, "an empty array is no header; leave it out.", at: start,
                    field: "headers")
            }
        }
    }

    private func parseHeaderValue(
        _ reader: inout JSONReader, _ name: [UInt8], to headers: inout RecordHeaders
    ) throws(PayloadFault) {
        switch try reader.peekKind("headers") {
        case .null:
            _ = try reader.takeValue()
            headers.append(name: name.span, value: nil)
        case .string:
            let string = try reader.takeString("headers")
            if string.hasEscapes {
                let value = try reader.unescaped(string, "headers")
                headers.append(name: name.span, value: value.span)
            } else {
                headers.append(name: name.span, value: reader.bytes.span.extracting(string.range))
            }
        case .object:
            let value = try base64Object(&reader)
            headers.append(name: name.span, value: value.span)
        case .array, .number, .bool:
            throw PayloadFault(
                .invalidField,
                "a header's value is a string, null, {\"base64\":…}, or an array of those.",
                at: reader.position, field: "headers")
        }
    }

    /// `{"base64":"…"}`.
    private func base64Object(_ reader: inout JSONReader) throws(PayloadFault) -> [UInt8] {
        var bytes: [UInt8] = []
        let start = reader.position
        var isFound = false
        try reader.openObject("headers")
        while let name = try reader.takeMember() {
            guard reader.matches(name, "base64"), !isFound else {
                throw PayloadFault(
                    .invalidField, "an object as a header's value has one member, base64.",
                    at: name.range.lowerBound, field: "headers")
            }
            let string = try reader.takeString("headers")
            isFound = Base64.decode(try reader.unescaped(string, "headers")[...], to: &bytes)
            guard isFound else {
                throw PayloadFault(
                    .invalidField, "this is no Base64 of RFC 4648 §4 with padding.",
                    at: string.range.lowerBound, field: "headers")
            }
        }
        guard isFound else {
            throw PayloadFault(
                .invalidField, "an object as a header's value has one member, base64.",
                at: start, field: "headers")
        }
        return bytes
    }

    private enum Encoding { case text, base64 }
}

/// The members of a record.
private enum Member: String {
    case topic, partition, offset, timestamp, key, keyEncoding, value, valueEncoding, headers

    init?(_ name: ArraySlice<UInt8>) {
        switch name.count {
        case 3: self = .key
        case 5: self = name.first == UInt8(ascii: "v") ? .value : .topic
        case 6: self = .offset
        case 7: self = .headers
        case 9: self = name.first == UInt8(ascii: "t") ? .timestamp : .partition
        case 11: self = .keyEncoding
        case 13: self = .valueEncoding
        default: return nil
        }
        guard rawValue.utf8.elementsEqual(name) else { return nil }
    }

    var bit: UInt16 {
        switch self {
        case .topic: 1
        case .partition: 2
        case .offset: 4
        case .timestamp: 8
        case .key: 16
        case .keyEncoding: 32
        case .value: 64
        case .valueEncoding: 128
        case .headers: 256
        }
    }
}
