import LogEngine
import Platform
import TestSupport
import Testing

/// Files that only help: indexes and the checkpoint. Whatever becomes of them, records stay.
struct SidecarFileTests {
    private static let count = 600

    /// Segments large enough for entries of their indexes, then a clean stop.
    private static func bench() async throws -> Bench {
        var bench = Bench()
        bench.options.segmentBytes = 24_000
        let partition = try bench.open()
        for index in 0..<count {
            let value = "value \(index) " + String(repeating: "x", count: 200)
            _ = try partition.append(batch([value], timestamp: 1_700_000_000_000 + Int64(index)))
            if index % 10 == 9 { bench.settle() }
        }
        bench.settle()
        try partition.close()
        bench.disk.kill()
        return bench
    }

    private static func check(_ bench: Bench, _ comment: Comment) async throws {
        let partition = try bench.open()
        #expect(partition.failure == nil, comment)
        #expect(partition.logEnd == Offset(Int64(count)), comment)
        for offset in stride(from: 0, to: Int64(count), by: 37) {
            let batches = try await partition.read(from: Offset(offset), maxBytes: 1)
            var reader = RecordBatchReader(batches)
            #expect(try reader.next()?.offset == Offset(offset), comment)
            let found = try await partition.offset(atOrAfter: 1_700_000_000_000 + offset)
            #expect(found == Offset(offset), comment)
        }
        #expect(try await partition.values().count == count, comment)
    }

    // MARK: - Indexes

    /// Pitfall 11: what the index files hold is a matter of speed only.
    @Test(arguments: [
        "missing", "empty", "cut", "swapped", "too long", "ahead", "falling", "other segment",
    ])
    func `index files of any kind never change what is read`(damage: String) async throws {
        let bench = try await Self.bench()
        let bases = try bench.bases()
        #expect(bases.count > 3)
        for (index, base) in bases.enumerated() {
            for (suffix, size) in [(".index", 8), (".timeindex", 12)] {
                let path = bench.path(base, suffix)
                let bytes = bench.disk.content(path) ?? []
                #expect(!bytes.isEmpty || base == bases.last)
                switch damage {
                case "missing": try bench.disk.remove(path)
                case "empty": bench.disk.setContent(path, [])
                case "cut": bench.disk.setContent(path, Array(bytes.dropLast(3)))
                case "swapped":
                    let other = bench.path(base, suffix == ".index" ? ".timeindex" : ".index")
                    bench.disk.setContent(path, bench.disk.content(other) ?? [])
                case "too long":
                    bench.disk.setContent(path, bytes + Array(repeating: 0x7F, count: 1 << 16))
                case "ahead":
                    bench.disk.setContent(path, bytes + Array(repeating: 0x7F, count: size))
                case "falling":
                    bench.disk.setContent(path, Array(bytes.suffix(size)) + bytes.dropLast(size))
                default:
                    let other = bench.path(bases[(index + 1) % bases.count], suffix)
                    bench.disk.setContent(path, bench.disk.content(other) ?? [])
                }
            }
        }
        try await Self.check(bench, "\(damage)")
    }

    /// Pitfalls 10 and 11.
    @Test func `indexes made anew equal those made while appending`() async throws {
        let bench = try await Self.bench()
        var before: [String: [UInt8]] = [:]
        for base in try bench.bases() {
            for suffix in [".index", ".timeindex"] {
                let path = bench.path(base, suffix)
                before[path] = bench.disk.content(path)
                try bench.disk.remove(path)
            }
        }
        try await Self.check(bench, "rebuilt")
        try bench.disk.remove(bench.directory + "/checkpoint")
        bench.disk.kill()
        let partition = try bench.open()
        try partition.close()
        for (path, bytes) in before { #expect(bench.disk.content(path) == bytes, "\(path)") }
    }

    @Test func `a flipped bit in an index never changes what is read`() async throws {
        let bench = try await Self.bench()
        let path = bench.path(try bench.bases()[1], ".index")
        let whole = try #require(bench.disk.content(path))
        for bit in 0..<whole.count * 8 {
            var bytes = whole
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            bench.disk.setContent(path, bytes)
            bench.disk.kill()
            let partition = try bench.open()
            let base = Int64(try bench.bases()[1])
            for offset in stride(from: base, to: base + 80, by: 9) {
                var reader = RecordBatchReader(
                    try await partition.read(from: Offset(offset), maxBytes: 1))
                #expect(try reader.next()?.offset == Offset(offset), "bit \(bit)")
            }
            try partition.close()
        }
    }

    // MARK: - The checkpoint

    /// Pitfall 22: what is not known is not deleted.
    @Test(arguments: ["missing", "empty", "cut", "zeros"])
    func `without a checkpoint all records are found again`(damage: String) async throws {
        let bench = try await Self.bench()
        let path = bench.directory + "/checkpoint"
        let whole = try #require(bench.disk.content(path))
        switch damage {
        case "missing": try bench.disk.remove(path)
        case "empty": bench.disk.setContent(path, [])
        case "cut": bench.disk.setContent(path, Array(whole.dropLast()))
        default: bench.disk.setContent(path, Array(repeating: 0, count: whole.count))
        }
        let files = try bench.bases()
        try await Self.check(bench, "\(damage)")
        #expect(try bench.bases() == files)
    }

    /// R5: every bit. A checkpoint that moved the log start would delete; its checksum prevents it.
    @Test func `each flipped bit of a checkpoint deletes nothing and moves no offset back`()
        async throws
    {
        let bench = try await Self.bench()
        let path = bench.directory + "/checkpoint"
        let whole = try #require(bench.disk.content(path))
        let files = try bench.bases()
        for bit in 0..<whole.count * 8 {
            var bytes = whole
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            bench.disk.setContent(path, bytes)
            bench.disk.kill()
            let partition = try bench.open()
            #expect(partition.failure == nil, "bit \(bit)")
            #expect(partition.logStart == Offset(0), "bit \(bit)")
            #expect(partition.logEnd == Offset(Int64(Self.count)), "bit \(bit)")
            #expect(try bench.bases() == files, "bit \(bit)")
            partition.abandon()
        }
    }

    @Test func `a file that is not ours is left alone`() async throws {
        let bench = try await Self.bench()
        bench.disk.setContent(bench.directory + "/notes.txt", [1])
        bench.disk.setContent(bench.directory + "/1.log", [2])
        try await Self.check(bench, "extra files")
        #expect(bench.disk.content(bench.directory + "/notes.txt") == [1])
        #expect(bench.disk.content(bench.directory + "/1.log") == [2])
    }
}
