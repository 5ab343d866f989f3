/// Encodes records into one Kafka record batch (message format v2) as they come.
package struct RecordBatchBuilder: Sendable {
    /// Records so far.
    package var recordCount: Int { fatalError() }
    /// Bytes of the whole batch so far, header included.
    package var byteCount: Int { fatalError() }
    /// Bytes of the largest record so far, as encoded.
    package var largestRecordByteCount: Int { fatalError() }

    package init() {}

    /// Adds a record. `timestamp` is milliseconds since 1970; `value` nil is a tombstone.
    package mutating func append(
        timestamp: Int64, key: Span<UInt8>?, value: Span<UInt8>?, headers: RecordHeaders = .init()
    ) { fatalError() }
}

/// Headers of one record, encoded as they are added. A name may repeat.
package struct RecordHeaders: Sendable {
    package private(set) var count = 0

    package init() {}

    package mutating func append(name: Span<UInt8>, value: Span<UInt8>?) { fatalError() }
}
