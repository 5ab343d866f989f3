import JSON

/// The context attributes of one event as they are collected, whichever mode carries them.
struct CloudEventAttributes {
    enum Value {
        case absent
        case text([UInt8])
        /// A number or boolean.
        case other(ArraySlice<UInt8>)
    }

    private var names = Set<[UInt8]>()
    private var hasVersion = false
    private var hasID = false
    private var hasSource = false
    private var hasType = false
    /// The value of the partitioning extension.
    private(set) var partitionKey: [UInt8]?

    /// Adds an attribute, or throws what is wrong with its name or value.
    mutating func add(
        _ name: [UInt8], _ value: Value, at position: Int
    ) throws(PayloadFault) {
        let field = String(decoding: name.prefix(64), as: UTF8.self)
        func fault(_ detail: String) -> PayloadFault {
            PayloadFault(.invalidCloudEvent, detail, at: position, field: field)
        }
        let isName =
            !name.isEmpty
            && name.allSatisfy {
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0)
            }
        guard isName, field != "data" else {
            throw fault("names of attributes consist of a to z and 0 to 9, and none is data.")
        }
        guard names.insert(name).inserted else { throw fault("the attribute stands twice.") }
        let text: [UInt8]
        switch value {
        case .absent: return
        case .text(let value): text = value
        case .other:
            guard !Self.textAttributes.contains(field) else { throw fault("it must be a string.") }
            return
        }
        guard isUTF8(text[...]), !Self.hasControl(text) else {
            throw fault("the value must be UTF-8 without control characters.")
        }
        if let detail = accept(field, text) { throw fault(detail) }
    }

    private static let textAttributes: Set<String> = [
        "specversion", "id", "source", "type", "datacontenttype", "dataschema", "subject", "time",
        "partitionkey",
    ]

    /// Notes an attribute of the specification; a sentence where its value is none of its type.
    private mutating func accept(_ name: String, _ text: [UInt8]) -> String? {
        guard Self.textAttributes.contains(name) else { return nil }
        if text.isEmpty { return "it must not be empty." }
        switch name {
        case "specversion":
            guard text.elementsEqual("1.0".utf8) else {
                return "this server takes version 1.0 of the specification."
            }
            hasVersion = true
        case "id": hasID = true
        case "type": hasType = true
        case "source", "dataschema":
            guard !text.contains(0x20) else { return "a URI holds no space." }
            if name == "source" { hasSource = true }
        case "time":
            guard isRFC3339(text) else {
                return "it must be a time of RFC 3339, as 2026-01-31T12:00:00Z."
            }
        case "partitionkey": partitionKey = text
        default: break
        }
        return nil
    }

    /// Throws where an attribute is missing that every event has.
    func check(at position: Int) throws(PayloadFault) {
        let missing =
            !hasVersion ? "specversion" : !hasID ? "id" : !hasSource ? "source" : "type"
        guard !(hasVersion && hasID && hasSource && hasType) else { return }
        throw PayloadFault(
            .invalidCloudEvent, "every event needs specversion, id, source and type.",
            at: position, field: missing)
    }

    /// U+0000–U+001F and U+007F–U+009F, which the type system forbids; `text` is UTF-8.
    private static func hasControl(_ text: [UInt8]) -> Bool {
        for (index, byte) in text.enumerated() {
            if byte < 0x20 || byte == 0x7F { return true }
            if byte == 0xC2, text[index + 1] < 0xA0 { return true }
        }
        return false
    }
}

/// Whether `text` is a date and time of RFC 3339 §5.6, its fields in their ranges (§5.7).
func isRFC3339(_ text: [UInt8]) -> Bool {
    func number(_ start: Int, _ count: Int) -> Int? {
        guard start + count <= text.count else { return nil }
        var value = 0
        for byte in text[start..<(start + count)] {
            guard byte &- 0x30 < 10 else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        return value
    }
    func has(_ character: Unicode.Scalar, _ index: Int) -> Bool {
        index < text.count && text[index] & 0xDF == UInt8(ascii: character) & 0xDF
            && (text[index] == UInt8(ascii: character) || character == "T" || character == "Z")
    }
    guard let year = number(0, 4), has("-", 4), let month = number(5, 2), has("-", 7),
        let day = number(8, 2), has("T", 10), let hour = number(11, 2), has(":", 13),
        let minute = number(14, 2), has(":", 16), let second = number(17, 2)
    else { return false }
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    guard (1...12).contains(month), day >= 1, day <= days[month - 1], hour < 24, minute < 60,
        second <= 60
    else { return false }
    var at = 19
    if has(".", at) {
        at += 1
        let start = at
        while at < text.count, text[at] &- 0x30 < 10 { at += 1 }
        guard at > start else { return false }
    }
    if has("Z", at) { return at + 1 == text.count }
    guard has("+", at) || has("-", at), let hours = number(at + 1, 2), has(":", at + 3),
        let minutes = number(at + 4, 2)
    else { return false }
    return hours < 24 && minutes < 60 && at + 6 == text.count
}
