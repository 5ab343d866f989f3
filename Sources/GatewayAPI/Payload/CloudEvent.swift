import Backends
package import JSON

/// CloudEvents 1.0 in the JSON event format: checked, and kept byte for byte.
///
/// Sources: CloudEvents 1.0.2 "Context Attributes" and "Type System", JSON event format §2 and §3.
package enum CloudEvent {
    /// What the Kafka protocol binding §3.3.1 has on events in structured mode.
    static let structuredContentType = Array("application/cloudevents+json; charset=UTF-8".utf8)

    /// The next value of `reader` as a record in structured mode: the event's own bytes as value,
    /// its `partitionkey` as key (Kafka binding §3.1), appended to `decoded`.
    package static func parse(
        _ reader: inout JSONReader, decoded: inout [UInt8]
    ) throws(PayloadFault) -> ParsedRecord {
        decoded.removeAll(keepingCapacity: true)
        guard try reader.peekKind() == .object else {
            throw PayloadFault(
                .invalidCloudEvent, "an event is a JSON object.", at: reader.position)
        }
        let start = reader.position
        var attributes = CloudEventAttributes()
        var dataMember: String?
        try reader.openObject()
        while let token = try reader.takeMember() {
            let name = try reader.unescaped(token, nil)
            if let data = dataName(name) {
                guard dataMember == nil else {
                    throw PayloadFault(
                        .invalidCloudEvent, "data and data_base64 stand once, and not together.",
                        at: token.range.lowerBound, field: data)
                }
                dataMember = data
                try checkData(&reader, data)
            } else {
                let value = try attributeValue(&reader, name)
                try attributes.add(name, value, at: token.range.lowerBound)
            }
        }
        try attributes.check(at: start)
        var record = ParsedRecord()
        record.value = .given(start..<reader.position)
        record.headers.append(name: contentTypeName.span, value: structuredContentType.span)
        if let key = attributes.partitionKey {
            decoded = key
            record.key = .decoded(0..<key.count)
        }
        return record
    }

    static let contentTypeName = Array("content-type".utf8)

    private static func dataName(_ name: [UInt8]) -> String? {
        if name.elementsEqual("data".utf8) { return "data" }
        if name.elementsEqual("data_base64".utf8) { return "data_base64" }
        return nil
    }

    private static func checkData(
        _ reader: inout JSONReader, _ name: String
    ) throws(PayloadFault) {
        let position = reader.position
        let isNull = try reader.peekKind() == .null
        guard name == "data_base64", !isNull else {
            _ = try reader.takeValue(name)
            return
        }
        var bytes: [UInt8] = []
        let string = try reader.takeString(name)
        guard Base64.decode(try reader.unescaped(string, name)[...], to: &bytes) else {
            throw PayloadFault(
                .invalidCloudEvent, "this is no Base64 of RFC 4648 §4 with padding.",
                at: position, field: name)
        }
    }

    /// An attribute in its canonical text (CloudEvents §3.4); nil for `null`, which unsets it.
    private static func attributeValue(
        _ reader: inout JSONReader, _ name: [UInt8]
    ) throws(PayloadFault) -> CloudEventAttributes.Value {
        switch try reader.peekKind() {
        case .null:
            _ = try reader.takeValue()
            return .absent
        case .string:
            let shown = String(decoding: name.prefix(64), as: UTF8.self)
            return .text(try reader.unescaped(try reader.takeString(shown), shown))
        case .bool:
            return .other(reader.bytes[try reader.takeValue()])
        case .number:
            let position = reader.position
            let number = reader.bytes[try reader.takeValue()]
            guard let value = Int64(String(decoding: number, as: UTF8.self)),
                Int32(exactly: value) != nil
            else {
                throw PayloadFault(
                    .invalidCloudEvent,
                    "a number as an attribute is a whole one of 32 bits; write others as strings.",
                    at: position, field: String(decoding: name.prefix(64), as: UTF8.self))
            }
            return .other(number)
        case .array, .object:
            throw PayloadFault(
                .invalidCloudEvent,
                "an attribute is a string, a number or a boolean; put structure into data.",
                at: reader.position, field: String(decoding: name.prefix(64), as: UTF8.self))
        }
    }
}
