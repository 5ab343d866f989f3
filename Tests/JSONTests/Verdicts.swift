import JSON

/// Why `bytes` are not one JSON value, by `skipValue`; nil where they are.
func failure(_ bytes: [UInt8]) -> JSONError? {
    var reader = JSONReader(bytes)
    do throws(JSONError) {
        _ = try reader.skipValue()
        try reader.end()
        return nil
    } catch {
        return error
    }
}

func failure(_ text: String) -> JSONError? { failure(Array(text.utf8)) }

/// The same by typed reading of every part.
func typedFailure(_ bytes: [UInt8]) -> JSONError? {
    var reader = JSONReader(bytes)
    do throws(JSONError) {
        try walk(&reader, depth: 0)
        try reader.end()
        return nil
    } catch {
        return error
    }
}

/// Whether text is taken, by each path on which it comes in: they must agree.
func verdicts(_ bytes: [UInt8]) -> Set<Bool> {
    [isJSON(bytes, in: 0..<bytes.count), failure(bytes) == nil, typedFailure(bytes) == nil]
}

/// Reads a value by its typed parts, as the API does, to a depth that the stack surely holds.
private func walk(_ reader: inout JSONReader, depth: Int) throws(JSONError) {
    guard depth < 20 else {
        _ = try reader.skipValue()
        return
    }
    switch try reader.peek() {
    case .object:
        try reader.beginObject()
        while try reader.nextMember() != nil { try walk(&reader, depth: depth + 1) }
    case .array:
        try reader.beginArray()
        while try reader.nextElement() { try walk(&reader, depth: depth + 1) }
    case .string: _ = try reader.readString()
    case .number: try walkNumber(&reader)
    case .bool: _ = try reader.readBool()
    case .null: try reader.readNull()
    }
}

/// As an integer where it is one, or else as it stands.
private func walkNumber(_ reader: inout JSONReader) throws(JSONError) {
    var other = reader
    do throws(JSONError) {
        _ = try reader.readInt64()
    } catch {
        guard error.reason == .notAnInteger else { throw error }
        _ = try other.skipValue()
        reader = other
    }
}
