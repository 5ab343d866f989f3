import JSON

/// What is taken can be read, written and read again, and is the same then.
@Sendable
func checkJSON(_ bytes: [UInt8]) throws(Contradiction) {
    guard isJSON(bytes, in: 0..<bytes.count) else {
        return try claim((try? events(bytes)) == nil, "read, though it is no JSON")
    }
    var line = JSONWriter()
    line.rawOnOneLine(bytes[...])
    try claim(isJSON(line.bytes, in: 0..<line.bytes.count), "no JSON any more on one line")
    let first: [JSONEvent]
    do throws(JSONError) { first = try events(bytes) } catch {
        return try claim(error.reason == .loneSurrogate, "checked, and not read: \(error)")
    }
    let written = write(first)
    try claim(isJSON(written, in: 0..<written.count), "what was written is no JSON")
    try claim((try? events(written)) == first, "not what was written")
}

/// A document in the order it is read.
private enum JSONEvent: Equatable {
    case object, array, end
    case name([UInt8])
    case string([UInt8])
    case integer(Int64)
    case literal([UInt8])
}

private func events(_ bytes: [UInt8]) throws(JSONError) -> [JSONEvent] {
    var reader = JSONReader(bytes)
    var events: [JSONEvent] = []
    try read(&reader, depth: 1, &events)
    try reader.end()
    return events
}

private func read(
    _ reader: inout JSONReader, depth: Int, _ events: inout [JSONEvent]
) throws(JSONError) {
    switch try reader.peek() {
    case .object, .array:
        // Reading by hand has no limit of its own.
        guard depth <= JSON.Limits.depth else { throw JSONError(.tooDeep, at: reader.position) }
        try readContainer(&reader, depth: depth, &events)
    case .string: events.append(.string(try reader.decode(try reader.readString())))
    case .number:
        var copy = reader
        let text = reader.bytes[try reader.skipValue()]
        if let integer = try? copy.readInt64() {
            events.append(.integer(integer))
        } else {
            events.append(.literal(Array(text)))
        }
    case .bool, .null: events.append(.literal(Array(reader.bytes[try reader.skipValue()])))
    }
}

private func readContainer(
    _ reader: inout JSONReader, depth: Int, _ events: inout [JSONEvent]
) throws(JSONError) {
    if try reader.peek() == .array {
        events.append(.array)
        try reader.beginArray()
        while try reader.nextElement() { try read(&reader, depth: depth + 1, &events) }
    } else {
        events.append(.object)
        try reader.beginObject()
        while let name = try reader.nextMember() {
            events.append(.name(try reader.decode(name)))
            try read(&reader, depth: depth + 1, &events)
        }
    }
    events.append(.end)
}

private func write(_ events: [JSONEvent]) -> [UInt8] {
    var writer = JSONWriter()
    var closings: [Bool] = []
    for event in events {
        switch event {
        case .object:
            writer.beginObject()
            closings.append(true)
        case .array:
            writer.beginArray()
            closings.append(false)
        case .end: closings.removeLast() ? writer.endObject() : writer.endArray()
        case .name(let name): writer.name(utf8: name[...])
        case .string(let string): writer.string(utf8: string[...])
        case .integer(let integer): writer.integer(integer)
        case .literal(let literal): writer.raw(literal[...])
        }
    }
    return writer.bytes
}
