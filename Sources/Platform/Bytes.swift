extension [UInt8] {
    /// Appends a copy of `bytes`, by memcpy.
    package mutating func append(_ bytes: Span<UInt8>) {
        bytes.withUnsafeBufferPointer { append(contentsOf: $0) }
    }
}
