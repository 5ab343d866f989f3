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

    package func contains(_ name: [UInt8]) -> Bool {
        var position = 0
        for _ in 0..<count {
            guard let found = field(at: &position), field(at: &position) != nil else {
                return false
            }
            if bytes[found].elementsEqual(name) { return true }
        }
        return false
    }

    /// A length and that many bytes; none where the length is that of null.
    private func field(at position: inout Int) -> Range<Int>? {
        guard let length = Varint.read(bytes.span, at: &position, before: bytes.count) else {
            return nil
        }
        let start = position
        position += max(0, Int(length))
        return start..<position
    }
}
