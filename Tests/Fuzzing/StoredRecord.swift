import LogEngine

/// A record as it came out of a batch.
struct StoredRecord: Equatable, Sendable {
    struct Header: Equatable {
        var name: [UInt8]
        var value: [UInt8]?
    }

    var offset: Int64
    var timestamp: Int64
    var key: [UInt8]?
    var value: [UInt8]?
    var headers: [Header]

    /// The headers by name, each name's in their order.
    var groupingHeaders: StoredRecord {
        var grouped = self
        grouped.headers = headers.enumerated().sorted {
            $0.element.name == $1.element.name
                ? $0.offset < $1.offset
                : $0.element.name.lexicographicallyPrecedes($1.element.name)
        }.map(\.element)
        return grouped
    }

    func append(to builder: inout RecordBatchBuilder) {
        var fields = RecordHeaders()
        for header in headers { fields.append(name: header.name.span, value: header.value?.span) }
        builder.append(timestamp: timestamp, key: key?.span, value: value?.span, headers: fields)
    }
}

/// The records of whole batches, until one is damaged.
func readRecords(_ batches: [UInt8]) -> (records: [StoredRecord], error: LogError?) {
    var reader = RecordBatchReader(batches)
    var records: [StoredRecord] = []
    do throws(LogError) {
        while let record = try reader.next() {
            let headers = reader.headers(of: record).map { header in
                StoredRecord.Header(
                    name: Array(reader.bytes[header.name]),
                    value: header.value.map { Array(reader.bytes[$0]) })
            }
            records.append(
                StoredRecord(
                    offset: record.offset.value, timestamp: record.timestamp,
                    key: record.key.map { Array(reader.bytes[$0]) },
                    value: record.value.map { Array(reader.bytes[$0]) }, headers: headers))
        }
    } catch { return (records, error) }
    return (records, nil)
}

/// The same of a batch that was made here.
func decode(_ batch: [UInt8]) throws(Contradiction) -> [StoredRecord] {
    let (records, error) = readRecords(batch)
    if let error { throw Contradiction(description: "its own batch is damaged: \(error)") }
    return records
}
