import GatewayAPI
import JSON
import LogEngine

/// Values are read as they were before they were percent-encoded.
@Sendable
func checkQuery(_ bytes: [UInt8]) throws(Contradiction) {
    let names = Route.readPartition.parameters
    guard let query = try? Query(bytes, in: 0..<bytes.count, names: names) else { return }
    var again: [UInt8] = []
    for name in names {
        guard let value = query.bytes(name) else { continue }
        try claim(value.allSatisfy { $0 >= 0x20 && $0 != 0x7F }, "a control byte in \(value)")
        try claim(isUTF8(value[...]), "no UTF-8: \(value)")
        again += Array("&\(name)=".utf8)
        for byte in value { again += Array("%".utf8) + hexDigits(byte) }
        _ = try? query.integer(name)
        _ = try? query.choice(name, of: ["earliest", "latest"])
    }
    guard let decoded = try? Query(again, in: 0..<again.count, names: names) else {
        throw Contradiction(description: "refused when encoded anew")
    }
    for name in names {
        try claim(decoded.bytes(name) == query.bytes(name), "another \(name) when encoded anew")
    }
}

private func hexDigits(_ byte: UInt8) -> [UInt8] {
    [byte >> 4, byte & 15].map { $0 < 10 ? 0x30 + $0 : 0x41 + $0 - 10 }
}

/// A cursor that was written is read as the same one.
@Sendable
func checkCursor(_ bytes: [UInt8]) throws(Contradiction) {
    guard let cursor = try? Cursor(parsing: String(decoding: bytes, as: UTF8.self)) else { return }
    try claim((try? Cursor(parsing: cursor.text)) == cursor, "\(cursor.text) is another cursor")
}

private func emptyRecords() -> PartitionedRecords {
    PartitionedRecords(.init(partitionCount: 3, now: 1, maxRecordBytes: 1 << 16))
}

/// A JSON batch that is taken is read back, shown and posted again: the same records. As lines, the
/// bytes bring the same records however they are cut.
@Sendable
func checkRecords(_ bytes: [UInt8]) throws(Contradiction) {
    try checkLines(bytes)
    var records = emptyRecords()
    do { try RecordsBody.parse(bytes, topic: "t", into: &records) } catch { return }
    for batch in 0..<records.batchCount {
        let partition = records.partition(ofBatch: batch)
        let stored = records.takeBatch(batch).finish()
        var again = emptyRecords()
        let shown = try show(stored, partition)
        do { try RecordsBody.parse(shown, topic: "t", into: &again) } catch {
            throw Contradiction(description: "not taken again: \(error)")
        }
        let isThere = again.batchCount == 1 && again.partition(ofBatch: 0) == partition
        try claim(isThere, "elsewhere than it was")
        // A name that stands several times is shown once, with all its values.
        let taken = try decode(again.takeBatch(0).finish()).map(\.groupingHeaders)
        try claim(
            taken == decode(stored).map(\.groupingHeaders), "other records than were read")
    }
}

private func show(_ batch: [UInt8], _ partition: Int) throws(Contradiction) -> [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    writer.name("records")
    writer.beginArray()
    let form = RecordJSON(partition: partition, form: .page)
    var reader = RecordBatchReader(batch)
    do throws(LogError) {
        while let record = try reader.next() { form.write(record, of: reader, to: &writer) }
    } catch { throw Contradiction(description: "its own batch is damaged: \(error)") }
    writer.endArray()
    writer.endObject()
    return writer.bytes
}

private func checkLines(_ bytes: [UInt8]) throws(Contradiction) {
    let whole = takeLines(bytes, step: max(1, bytes.count))
    for step in [1, 7, 64] {
        let parts = takeLines(bytes, step: step)
        try claim(parts == whole, "\(whole.problem) at once, \(parts.problem) by \(step)")
    }
}

private struct TakenLines: Equatable {
    var batches: [[UInt8]]
    var lines: [Int]
    var problem: String
}

private func takeLines(_ bytes: [UInt8], step: Int) -> TakenLines {
    var lines = RecordLines(topic: "t", lineLimit: 1 << 10)
    var records = emptyRecords()
    var numbers: [Int] = []
    var problem = "taken"
    do {
        for start in stride(from: 0, to: bytes.count, by: step) {
            let piece = Array(bytes[start..<min(start + step, bytes.count)])
            try lines.take(piece, into: &records, lines: &numbers)
        }
        try lines.take(nil, into: &records, lines: &numbers)
    } catch { problem = "\(error)" }
    let batches = (0..<records.batchCount).map { records.takeBatch($0).finish() }
    return TakenLines(batches: batches, lines: numbers, problem: problem)
}

/// An event that is taken is stored as it came, and is taken again from the log with the same key.
@Sendable
func checkEvents(_ bytes: [UInt8]) throws(Contradiction) {
    var many = emptyRecords()
    try? EventsBody.parseBatch(bytes, into: &many)
    var one = emptyRecords()
    do { try EventsBody.parseOne(bytes, into: &one) } catch { return }
    let stored = try decode(one.takeBatch(0).finish())[0]
    try claim(stored.value == trimmed(bytes), "stored otherwise than it came")
    var again = emptyRecords()
    do { try EventsBody.parseOne(bytes, into: &again) } catch {
        throw Contradiction(description: "not taken again: \(error)")
    }
    try claim(try decode(again.takeBatch(0).finish()) == [stored], "another record")
}

private func trimmed(_ bytes: [UInt8]) -> [UInt8] {
    let isSpace = { (byte: UInt8) in [0x20, 0x09, 0x0A, 0x0D].contains(byte) }
    return Array(bytes.drop(while: isSpace).reversed().drop(while: isSpace).reversed())
}
