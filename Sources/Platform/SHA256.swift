import Crypto

/// SHA-256 (FIPS 180-4) of pieces that come one after the other. Each piece is counted in front of
/// it, so that moving bytes from one to the next makes another digest.
package struct PieceDigest {
    private var hash = SHA256()

    package init() {}

    package mutating func add(_ piece: ArraySlice<UInt8>) {
        var count: [UInt8] = []
        count.appendBigEndian(Int64(piece.count))
        hash.update(data: count)
        hash.update(data: piece)
    }

    /// The first 8 of the 32 bytes, big-endian. Bits that nobody can choose cheaply.
    package consuming func first64() -> UInt64 {
        hash.finalize().prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
