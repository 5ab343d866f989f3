import Platform

/// How a topic's batches are stored: Kafka's `compression.type`, as far as this room writes it.
package enum CompressionType: String, Sendable {
    case none, gzip
}

/// Whole batches to gzip and back to their header: Kafka's codec 1.
enum BatchCompression {
    /// Compresses the records of a sealed batch, if that makes it smaller.
    static func compress(_ batch: inout [UInt8]) {
        let start = RecordBatchHeader.byteCount
        let byteCount = batch.count - start
        // What opens to more than a reader takes must not be written.
        guard byteCount >= Limits.compressedBytes, byteCount <= Limits.inflatedBytes else { return }
        let records = gzip(
            batch.span.extracting(start..<batch.count), level: Limits.compressionLevel)
        guard records.count < byteCount else { return }
        batch.removeLast(byteCount)
        batch.append(records.span)
        RecordBatchHeader.setCodec(.gzip, in: &batch)
        RecordBatchHeader.seal(&batch)
    }
}
