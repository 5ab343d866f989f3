/// Walks the records of whole batches, checking every length; bytes from a disk never trap.
package struct RecordBatchReader {
    /// What the ranges of the records returned since the last `next` point into.
    package var bytes: [UInt8] { fatalError() }

    /// `batches` is a sequence of whole batches, such as a read returns. CRCs are checked here.
    package init(_ batches: [UInt8]) { fatalError() }

    /// The next record; nil at the end. Control batches are passed over.
    package mutating func next() throws(LogError) -> Record? { fatalError() }

    /// The record's headers in order: name and value as ranges of `bytes`.
    package func headers(of record: Record) -> [(name: Range<Int>, value: Range<Int>?)] { fatalError() }
}

/// One record of a batch, as ranges of `RecordBatchReader.bytes`.
package struct Record: Sendable {
    package var offset: Offset
    /// Milliseconds since 1970.
    package var timestamp: Int64
    package var key: Range<Int>?
    /// nil: a tombstone.
    package var value: Range<Int>?
    package var headerCount: Int
    package var headers: Range<Int>
}
