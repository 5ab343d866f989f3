/// A parsed request line and its header fields: offsets into `bytes`, which holds just this head.
package struct RequestHead: Sendable {
    /// The head as it came, but field names in lower case.
    package internal(set) var bytes: [UInt8] = []
    package internal(set) var method = Method.get
    /// The target's path as it came, percent-encoded, beginning with `/` (or `*` for OPTIONS).
    package internal(set) var path: Range<Int> = 0..<0
    /// The target's query without `?`; nil when there is no `?`.
    package internal(set) var query: Range<Int>?

    var isHTTP10 = false
    /// Of a target in absolute-form.
    var authority: Range<Int>?
    var fields: [(name: Range<Int>, value: Range<Int>)] = []
    /// By `FieldName`: the index in `fields` of its first line, plus one; 0 where there is none.
    private var places = [UInt32](repeating: 0, count: FieldName.allCases.count)

    package init() {}

    /// The value of a field, without surrounding white space; nil when absent. Where a field that
    /// may stand only once came twice, the server has refused the request already; of those that
    /// are lists (`accept`) this is the first line, see `values(of:)`.
    package func value(of name: FieldName) -> Range<Int>? {
        let place = places[Int(name.rawValue)]
        return place == 0 ? nil : fields[Int(place) - 1].value
    }

    /// All lines of a field that may be a list.
    package func values(of name: FieldName) -> [Range<Int>] {
        guard places[Int(name.rawValue)] > 0 else { return [] }
        return fields.filter { FieldName.named(bytes, $0.name) == name }.map(\.value)
    }

    /// The lines of a field that may be a list, as the one they stand for (RFC 9110 §5.3).
    package func list(_ name: FieldName) -> [UInt8] {
        Array(values(of: name).map { bytes[$0] }.joined(separator: [UInt8(ascii: ",")]))
    }

    /// Calls `body` with each field in order: lower-case name and value as ranges of `bytes`.
    package func forEachField(_ body: (_ name: Range<Int>, _ value: Range<Int>) -> Void) {
        for field in fields { body(field.name, field.value) }
    }

    /// Whether the text in `range` is `text` (lower case), letters compared without case.
    package func matches(_ range: Range<Int>, _ text: String) -> Bool {
        range.count == text.utf8.count
            && zip(bytes[range], text.utf8).allSatisfy { lowercased($0) == $1 }
    }

    // MARK: - For the parser

    mutating func reset() {
        // A connection that once sent a large head does not keep its memory.
        bytes.removeAll(keepingCapacity: bytes.capacity <= 2048)
        fields.removeAll(keepingCapacity: fields.capacity <= 32)
        for index in places.indices { places[index] = 0 }
        method = .get
        path = 0..<0
        query = nil
        authority = nil
        isHTTP10 = false
    }

    /// Files the last field of `fields` under its name; false where it may not stand a second time.
    mutating func file(_ name: FieldName) -> Bool {
        let place = Int(name.rawValue)
        if places[place] > 0 { return name.mayRepeat }
        places[place] = UInt32(truncatingIfNeeded: fields.count)
        return true
    }
}

@inline(__always)
func lowercased(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }
