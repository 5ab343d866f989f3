import Platform
import TestSupport
import Testing

struct GzipTests {
    /// `printf hello | gzip -n`
    private static let hello: [UInt8] = [
        0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 0xCB, 0x48, 0xCD, 0xC9, 0xC9, 7, 0, 0x86, 0xA6, 0x10,
        0x36, 5, 0, 0, 0,
    ]

    @Test func `one member or more open to their content`() throws {
        let one = try gunzip(Self.hello.span, limit: 100)
        #expect(one == Array("hello".utf8))
        let twice = Self.hello + Self.hello
        let two = try gunzip(twice.span, limit: 10)
        #expect(two == Array("hellohello".utf8))
    }

    @Test(arguments: [0, 1, 100, 70_000, 1_000_000], [Int32(1), 9])
    func `what is compressed opens to itself`(count: Int, level: Int32) throws {
        var random = SeededRandom(seed: UInt64(count))
        let noise = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let words = (0..<count).map { UInt8($0 / 7 % 11) }
        for bytes in [noise, words] {
            let compressed = gzip(bytes.span, level: level)
            #expect(try gunzip(compressed.span, limit: count) == bytes)
        }
    }

    /// The cap is on what comes out, of all members together.
    @Test(arguments: [(1, 4), (2, 9), (100, 10), (1, 0)])
    func `more than the limit is refused`(members: Int, limit: Int) {
        let bytes = Array(repeatElement(Self.hello, count: members).joined())
        #expect(throws: GzipError.tooLarge(limit: limit)) { try gunzip(bytes.span, limit: limit) }
    }

    @Test func `what is cut short, not gzip or followed by other bytes is refused`() {
        for count in 0..<Self.hello.count {
            let cut = Array(Self.hello.prefix(count))
            #expect(throws: GzipError.invalid) { try gunzip(cut.span, limit: 100) }
        }
        let followed = Self.hello + [0]
        #expect(throws: GzipError.invalid) { try gunzip(followed.span, limit: 100) }
    }

    @Test func `mutated bytes are opened or refused, and never trap`() {
        var random = SeededRandom(seed: 3)
        for _ in 0..<5000 {
            let bytes = random.mutated(Self.hello)
            do throws(GzipError) {
                let content = try gunzip(bytes.span, limit: 1000)
                #expect(content.count <= 1000)
            } catch { continue }
        }
    }

    /// However the input is cut, and however little is taken at a time.
    @Test(arguments: [1, 2, 7, 100], [1, 3, 1000])
    func `an inflater opens what a deflater packs, piece by piece`(piece: Int, most: Int) throws {
        let text = Array((0..<400).map { "line \($0 % 7)\n" }.joined().utf8)
        let packed = Deflater(.large).deflate(text, isLast: true) + Self.hello
        let inflater = Inflater()
        var content: [UInt8] = []
        for start in stride(from: 0, to: packed.count, by: piece) {
            inflater.feed(Array(packed[start..<min(start + piece, packed.count)]))
            while true {
                let part = try inflater.next(most: most)
                #expect(part.count <= most)
                if part.isEmpty { break }
                content += part
            }
        }
        #expect(content == text + Array("hello".utf8))
        #expect(inflater.isWhole)
        #expect(inflater.inputBytes == packed.count && inflater.outputBytes == content.count)
    }

    /// A reader of a stream must not wait for the next burst to see this one.
    @Test func `each burst can be opened when it has come`() throws {
        let deflater = Deflater(.small)
        let inflater = Inflater()
        for number in 0..<1000 {
            let burst = Array("event \(number)\n\n".utf8)
            inflater.feed(deflater.deflate(burst, isLast: false))
            #expect(try inflater.next(most: 1000) == burst)
            #expect(!inflater.isWhole)
        }
        inflater.feed(deflater.deflate([], isLast: true))
        #expect(try inflater.next(most: 1000).isEmpty)
        #expect(inflater.isWhole)
    }

    @Test func `a deflater packs nothing, much and what does not shrink`() throws {
        var random = SeededRandom(seed: 1952)
        let noise = (0..<300_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        for bytes in [[], [UInt8](repeating: 0x61, count: 5_000_000), noise] {
            for memory in [Deflater.Memory.large, .small] {
                let packed = Deflater(memory).deflate(bytes, isLast: true)
                #expect(try gunzip(packed.span, limit: bytes.count) == bytes)
            }
        }
    }
}
