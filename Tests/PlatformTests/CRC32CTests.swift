import Platform
import Testing

struct CRC32CTests {
    /// RFC 3720 appendix B.4, and the check value every catalogue of CRCs gives.
    @Test(
        arguments: [
            ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
            ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
            ([UInt8](0..<32), 0x46DD_794E),
            ([UInt8]((0..<32).reversed()), 0x113F_DB5C),
            ([UInt8]("123456789".utf8), 0xE306_9283),
            ([], 0),
        ] as [([UInt8], UInt32)])
    func `the vectors of RFC 3720 come out`(bytes: [UInt8], checksum: UInt32) {
        let found = crc32c(bytes.span)
        #expect(found == checksum)
    }

    /// Long inputs go through the instruction in three lanes of 1,024 bytes, bytes alone in none.
    @Test func `a checksum made piece by piece is that of the whole`() {
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: ($0 &* $0) >> 3) }
        var byByte = [UInt32(0)]
        for index in bytes.indices {
            byByte.append(crc32c(bytes.span.extracting(index..<index + 1), seed: byByte[index]))
        }
        for cut in [0, 1, 7, 8, 63, 3071, 3072, 3073, 6144, 6151, 9216, 9999, 10_000] {
            let first = crc32c(bytes.span.extracting(0..<cut))
            #expect(first == byByte[cut], "up to \(cut)")
            let both = crc32c(bytes.span.extracting(cut..<bytes.count), seed: first)
            #expect(both == byByte.last, "cut at \(cut)")
        }
    }
}
