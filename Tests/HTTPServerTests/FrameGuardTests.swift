import HTTPServer
import Platform
import TestSupport
import Testing

/// The counters beside libnghttp2, as a value (RELIABILITY.md d-2).
@Suite struct `Frame guard` {
    private let start = Instant(nanoseconds: 5_000_000_000)
    private let ping = frame(6, 0, 0, 8)

    private static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt8, _ length: Int)
        -> [UInt8]
    {
        [0, UInt8(length >> 8), UInt8(length & 0xFF), type, flags, 0, 0, 0, stream]
            + [UInt8](repeating: 0, count: length)
    }

    private func verdict(
        _ guarded: inout FrameGuard, _ bytes: [UInt8], now: Instant? = nil, open: Set<Int32> = []
    ) -> FrameGuard.Verdict {
        guarded.look(at: bytes, 0..<bytes.count, now: now ?? start, isOpen: open.contains)
    }

    private func greeted() -> FrameGuard {
        var guarded = FrameGuard(Limits())
        #expect(verdict(&guarded, FrameGuard.preface) == .pass)
        return guarded
    }

    /// How many of these frames pass before one is too many, up to 1,000.
    private func passing(_ frame: [UInt8], after first: [UInt8] = []) -> Int {
        var guarded = greeted()
        _ = verdict(&guarded, first)
        return (0..<1000).first { _ in verdict(&guarded, frame) != .pass } ?? 1000
    }

    @Test func `a burst of a hundred frames that bring nothing passes, and not one more`() {
        for type: UInt8 in [2, 4, 6, 7, 8, 0x42] {
            #expect(passing(Self.frame(type, 0, 0, 8)) == 100, "type \(type)")
        }
        #expect(passing(Self.frame(0, 0, 1, 0)) == 100)
        #expect(passing(Self.frame(3, 0, 1, 4)) == 100)
        #expect(passing([0, 0, 3, 0, 8, 0, 0, 0, 1, 2, 0, 0]) == 100)
    }

    @Test func `frames that bring something pass for ever`() {
        #expect(passing(Self.frame(0, 0, 1, 1)) == 1000)
        #expect(passing([0, 0, 4, 0, 8, 0, 0, 0, 1, 2, 7, 0, 0]) == 1000)
        #expect(passing(Self.frame(1, 4, 1, 10)) == 1000)
        #expect(passing(Self.frame(0, 1, 1, 0)) == 1000)
    }

    @Test func `ten frames a second pass for ever`() {
        var guarded = greeted()
        for tenth in 0..<5000 {
            let now = start + .milliseconds(100 * Int64(tenth))
            #expect(verdict(&guarded, ping, now: now) == .pass)
        }
    }

    @Test func `a window that lets data out pays for its updates, and one of a byte does not`() {
        let update = Self.frame(8, 0, 1, 4)
        for (byteCount, wasCutShort, isPaid) in [
            (16384, true, true), (3, false, true), (1, true, false),
        ] {
            var guarded = greeted()
            let passed = (0..<1000).prefix { _ in
                guarded.sentData(byteCount, wasCutShort: wasCutShort)
                return verdict(&guarded, update) == .pass
            }
            #expect(passed.count == (isPaid ? 1000 : 100))
        }
    }

    @Test func `a stream passed over may not be used afterwards`() {
        var guarded = greeted()
        #expect(verdict(&guarded, Self.frame(1, 4, 5, 3)) == .pass)
        #expect(verdict(&guarded, Self.frame(1, 5, 5, 3)) == .pass)
        #expect(verdict(&guarded, Self.frame(1, 4, 3, 3)) == .streamWentBack)
    }

    @Test func `trailers of a stream that was opened long ago pass while it is open`() {
        var guarded = greeted()
        for stream: UInt32 in stride(from: 1, to: 2001, by: 2) {
            var head = Self.frame(1, 4, UInt8(stream & 0xFF), 1)
            head[7] = UInt8(stream >> 8)
            #expect(verdict(&guarded, head) == .pass)
        }
        #expect(verdict(&guarded, Self.frame(1, 5, 1, 3), open: [1]) == .pass)
        #expect(verdict(&guarded, Self.frame(1, 5, 1, 3)) == .streamWentBack)
    }

    @Test func `a header block lasts until the last byte of its last frame`() {
        var guarded = greeted()
        let block = Self.frame(1, 0, 1, 3) + Self.frame(9, 0, 1, 2) + Self.frame(9, 4, 1, 2)
        for (index, byte) in block.enumerated() {
            #expect(verdict(&guarded, [byte]) == .pass)
            #expect(guarded.isInHeaderBlock == (index >= 8 && index < block.count - 1), "\(index)")
        }
    }

    @Test func `how the bytes are cut changes no verdict, and none of them traps`() {
        var random = SeededRandom(seed: 9113)
        for _ in 0..<3000 {
            let valid =
                Self.frame(1, 4, 3, 5) + ping + Self.frame(0, 8, 3, 4) + Self.frame(8, 0, 3, 4)
            let bytes = random.mutated(valid + valid)
            var whole = greeted()
            let expected = verdict(&whole, bytes)
            var cut = greeted()
            var found = FrameGuard.Verdict.pass
            for byte in bytes where found == .pass { found = verdict(&cut, [byte]) }
            #expect(found == expected)
        }
    }
}
