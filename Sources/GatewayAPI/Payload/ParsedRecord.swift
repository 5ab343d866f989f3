import Backends

/// Bytes of a record: in the request as they came, or decoded beside it.
enum FieldBytes {
    case none
    /// A range of the request's bytes.
    case given(Range<Int>)
    /// A range of what the parser decoded.
    case decoded(Range<Int>)
}

/// A record of a request on its way into a batch.
struct ParsedRecord {
    var key = FieldBytes.none
    /// `.none`: a tombstone.
    var value = FieldBytes.none
    var headers = RecordHeaders()
    /// Milliseconds since 1970; nil: when it came.
    var timestamp: Int64?
    /// The partition the record names; nil where the key or the server chooses.
    var partition: Int?
}

extension RecordBatchBuilder {
    /// Adds a record whose bytes stand in `given` and `decoded`.
    mutating func append(
        _ record: ParsedRecord, given: [UInt8], decoded: [UInt8], now: Int64
    ) {
        let timestamp = record.timestamp ?? now
        let key = record.key.range(given: given.count)
        let value = record.value.range(given: given.count)
        let keySource = record.key.isDecoded ? decoded.span : given.span
        let valueSource = record.value.isDecoded ? decoded.span : given.span
        let keySpan = key.map { keySource.extracting($0) }
        append(timestamp: timestamp, key: keySpan, value: valueSource, headers: record.headers)
    }
}
