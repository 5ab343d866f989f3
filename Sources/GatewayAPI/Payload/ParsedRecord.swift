package import Backends

/// Bytes of a record: in the request as they came, or decoded beside it.
package enum FieldBytes {
    case none
    /// A range of the request's bytes.
    case given(Range<Int>)
    /// A range of what the parser decoded.
    case decoded(Range<Int>)

    package var isDecoded: Bool {
        if case .decoded = self { true } else { false }
    }

    package var range: Range<Int>? {
        switch self {
        case .none: nil
        case .given(let range), .decoded(let range): range
        }
    }
}

/// A record of a request on its way into a batch.
package struct ParsedRecord {
    package var key = FieldBytes.none
    /// `.none`: a tombstone.
    package var value = FieldBytes.none
    package var headers = RecordHeaders()
    /// Milliseconds since 1970; nil: when it came.
    package var timestamp: Int64?
    /// The partition the record names; nil where the key or the server chooses.
    package var partition: Int?
}

extension RecordBatchBuilder {
    /// Adds a record whose bytes stand in `given` and `decoded`; false, with nothing added, where
    /// it would take more than `limit` bytes.
    package mutating func append(
        _ record: ParsedRecord, given: [UInt8], decoded: [UInt8], now: Int64, limit: Int
    ) -> Bool {
        let timestamp = record.timestamp ?? now
        let keySource = record.key.isDecoded ? decoded.span : given.span
        let key: Span<UInt8>? =
            if let range = record.key.range { keySource.extracting(range) } else { nil }
        let valueSource = record.value.isDecoded ? decoded.span : given.span
        let value: Span<UInt8>? =
            if let range = record.value.range { valueSource.extracting(range) } else { nil }
        return append(
            timestamp: timestamp, key: key, value: value, headers: record.headers, limit: limit)
    }
}
