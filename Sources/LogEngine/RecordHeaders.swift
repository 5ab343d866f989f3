import Platform

/// Headers of one record, encoded as they are added. A name may repeat.
package struct RecordHeaders: Sendable {
    package private(set) var count = 0
    private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func append(name: Span<UInt8>, value: Span<UInt8>?) {
        RecordBatchBuilder.append(name, to: &bytes)
        RecordBatchBuilder.append(value, to: &bytes)
        count += 1
    }
}
