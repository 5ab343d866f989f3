import CPlatform

/// CRC-32C (Castagnoli), the checksum of a Kafka record batch; RFC 3720 appendix B.4 has vectors.
///
/// `seed` is the checksum of the bytes in front, so a checksum can be made piece by piece.
package func crc32c(_ bytes: Span<UInt8>, seed: UInt32 = 0) -> UInt32 {
    bytes.withUnsafeBytes { millrace_crc32c(seed, $0.baseAddress, $0.count) }
}
