import LogEngine
import Platform
import TestSupport
import Testing

/// The chain beside a segment: what belongs there, and up to where it was synced.
struct ChainTests {
    private static let count = 60

    private static func damage(_ bench: Bench) throws -> [PartitionVerdict.Finding] {
        try PartitionVerdict(bench.directory, disk: bench.disk).findings.filter { !$0.isHarmless }
    }

    /// Pitfall 26, R6: Kafka's checksum covers neither partition nor base offset.
    @Test(arguments: [true, false])
    func `any two segment files swapped are found`(withChain: Bool) async throws {
        let bench = try await Bench.filled(segmentBytes: 1000, count: Self.count)
        let bases = try bench.bases()
        #expect(bases.count >= 5)
        #expect(try Self.damage(bench).isEmpty)
        for first in bases {
            for second in bases where second > first {
                for suffix in withChain ? [".log", ".chain"] : [".log"] {
                    Self.swap(bench, bench.path(first, suffix), bench.path(second, suffix))
                }
                #expect(try Self.damage(bench).count >= 2, "\(first) and \(second)")
                for suffix in withChain ? [".log", ".chain"] : [".log"] {
                    Self.swap(bench, bench.path(first, suffix), bench.path(second, suffix))
                }
            }
        }
        #expect(try Self.damage(bench).isEmpty)
    }

    private static func swap(_ bench: Bench, _ first: String, _ second: String) {
        let bytes = bench.disk.content(first) ?? []
        bench.disk.setContent(first, bench.disk.content(second) ?? [])
        bench.disk.setContent(second, bytes)
    }

    /// Pitfall 26: the batches of another partition have the same offsets, lengths and magic, and
    /// checksums that hold. Nothing but the chain can tell.
    @Test(arguments: [true, false])
    func `a segment of another partition is found by verify, scrubber and recovery`(
        withChain: Bool
    ) async throws {
        let other = try await Self.twin()
        for index in 0..<4 {
            let bench = try await Bench.filled(
                segmentBytes: 1000, count: Self.count, isClean: index < 2)
            let bases = try bench.bases()
            let base = index % 2 == 0 ? bases[1] : bases[bases.count - 1]
            for suffix in withChain ? [".log", ".chain"] : [".log"] {
                bench.disk.setContent(
                    bench.path(base, suffix), other.disk.content(other.path(base, suffix)) ?? [])
            }
            #expect(try !Self.damage(bench).isEmpty)
            let partition = try bench.open()
            partition.scrub { _ in }
            let isScanned = base == bases.last && index >= 2
            #expect(partition.failure != nil || base == bases.last && !isScanned)
            guard partition.failure != nil else { continue }
            #expect(partition.highWatermark == Offset(Int64(base)))
            #expect(try await partition.values().count == base)
            #expect(throws: LogError.self) { try partition.append(batch(["x"])) }
        }
    }

    /// A partition with records of the same sizes at the same offsets.
    private static func twin() async throws -> Bench {
        var bench = Bench(directory: "/data/1")
        bench.options.segmentBytes = 1000
        let partition = try bench.open()
        for index in 0..<count { try await bench.store(["VALUE \(index)"], in: partition) }
        try partition.close()
        bench.disk.kill()
        return bench
    }

    /// Every batch in turn replaced by the twin's, swapped with its neighbour, and doubled.
    @Test func `any batch that is not its own is found`() async throws {
        let bench = try await Bench.filled(segmentBytes: 1 << 20, count: 40)
        let other = try await Bench.filled(segmentBytes: 1 << 20, count: 40)
        let whole = try #require(bench.disk.content(bench.path(0)))
        let foreign = try #require(other.disk.content(other.path(0)))
        let ends = Self.ends(whole)
        #expect(ends.count == 41)
        for index in 0..<ends.count - 2 {
            let (first, second) = (ends[index]..<ends[index + 1], ends[index + 1]..<ends[index + 2])
            var forged = foreign
            // Another value under a checksum that holds, at the right offset.
            Self.seal(&forged, first)
            let replaced = Array(
                whole[..<first.lowerBound] + forged[first] + whole[first.upperBound...])
            let swapped = Array(
                whole[..<first.lowerBound] + whole[second] + whole[first]
                    + whole[second.upperBound...])
            let doubled = Array(whole[..<first.upperBound] + whole[first.lowerBound...])
            for (bytes, words) in [
                (replaced, "replaced"), (swapped, "swapped"), (doubled, "doubled"),
            ] {
                bench.disk.setContent(bench.path(0), bytes)
                #expect(try !Self.damage(bench).isEmpty, "batch \(index) \(words)")
            }
        }
    }

    /// Where the batches begin, and the end.
    private static func ends(_ bytes: [UInt8]) -> [Int] {
        var ends = [0]
        while let header = RecordBatchHeader(bytes.span, at: ends[ends.count - 1]) {
            ends.append(ends[ends.count - 1] + header.batchByteCount)
        }
        return ends
    }

    /// Changes the last byte of the value, and the checksum with it.
    private static func seal(_ bytes: inout [UInt8], _ range: Range<Int>) {
        bytes[range.upperBound - 2] ^= 1
        let sum = crc32c(bytes.span.extracting(range.lowerBound + 21..<range.upperBound))
        bytes.setBigEndian(sum, at: range.lowerBound + 17)
    }

    /// R5: every bit of the chain file; it only helps.
    @Test(arguments: [true, false])
    func `each flipped bit of a chain file is harmless`(isClean: Bool) async throws {
        let bench = try await Bench.filled(segmentBytes: 1 << 20, count: 120, isClean: isClean)
        let path = bench.path(0, ".chain")
        let whole = try #require(bench.disk.content(path))
        #expect(whole.count > 128)
        for bit in 0..<whole.count * 8 {
            var bytes = whole
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            bench.disk.setContent(path, bytes)
            bench.disk.kill()
            let partition = try bench.open()
            #expect(partition.failure == nil, "bit \(bit)")
            #expect(partition.highWatermark == Offset(120), "bit \(bit)")
            partition.abandon()
        }
    }

    // MARK: - The end of the log

    /// A power cut may keep a later write and lose an earlier one: no damage, as nobody was told.
    @Test func `a hole in what was never synced is cut off, and what is behind it kept aside`()
        async throws
    {
        let bench = Bench()
        let partition = try bench.open()
        for index in 0..<5 { try await bench.store(["acked \(index)"], in: partition) }
        let synced = partition.byteCount
        for index in 0..<5 { _ = try partition.append(batch(["unsynced \(index)"])) }
        var bytes = try #require(bench.disk.content(bench.path(0)))
        for index in Int(synced)..<Int(synced) + 50 { bytes[index] = 0 }
        bench.disk.setContent(bench.path(0), bytes)
        bench.disk.kill()
        let again = try bench.open()
        #expect(again.failure == nil)
        #expect(try await again.values().count == 5)
        #expect(again.notes.contains { $0.contains(".lost") })
        let kept = try bench.disk.list(bench.directory).first { $0.hasSuffix(".lost") }
        let lost = bench.disk.content(bench.directory + "/" + (kept ?? ""))
        #expect(lost == Array(bytes[Int(synced)...]))
        #expect(try await bench.store(["next"], in: again) == Offset(5))
    }

    /// The same one byte earlier was acknowledged: damage, though nothing intact is behind it.
    @Test func `a broken end of what was synced is damage and not cut off`() async throws {
        let bench = try await Bench.filled(segmentBytes: 1 << 20, count: 5, isClean: false)
        let whole = try #require(bench.disk.content(bench.path(0)))
        for cut in [whole.count - 1, whole.count - 40, 0] {
            bench.disk.setContent(bench.path(0), Array(whole.prefix(cut)))
            bench.disk.kill()
            let partition = try bench.open()
            #expect(partition.failure?.contains("synced beyond") == true, "\(cut)")
            #expect(bench.disk.content(bench.path(0))?.count == cut)
            partition.abandon()
        }
    }

    // MARK: - The scrubber

    @Test func `the scrubber finds damage nobody has read, and serves what is before it`()
        async throws
    {
        let bench = try await Bench.filled(segmentBytes: 1000, count: Self.count)
        let bases = try bench.bases()
        let partition = try bench.open()
        var bytes = try #require(bench.disk.content(bench.path(bases[2])))
        bytes[bytes.count - 5] ^= 4
        bench.disk.setContent(bench.path(bases[2]), bytes)
        var paced: Int64 = 0
        partition.scrub { paced += $0 }
        #expect(paced > 1000)
        #expect(partition.statistics.scrubbedDamage == 1)
        #expect(partition.statistics.scrubbedBytes == UInt64(paced))
        let failure = try #require(partition.failure)
        #expect(failure.contains("damaged at offset \(bases[3] - 1)"))
        #expect(try await partition.values().count == bases[3] - 1)
        #expect(throws: LogError.self) { try partition.append(batch(["x"])) }
        await #expect(throws: LogError.self) {
            try await partition.read(from: Offset(Int64(bases[3])), maxBytes: 100)
        }
    }

    /// Data older than chain files.
    /// Pitfall 8: the segment to come of that name would be called damaged, should the emptied file
    /// come back with the next power cut. Found by the simulator.
    @Test func `the chain file of a segment that a power cut took goes with it`() async throws {
        let bench = try await Bench.filled(segmentBytes: 1000, count: Self.count, isClean: false)
        let last = try #require(try bench.bases().last)
        let lost = bench.path(Self.count + 40, ".chain")
        bench.disk.setContent(lost, bench.disk.content(bench.path(last, ".chain")) ?? [])
        let partition = try bench.open()
        #expect(partition.failure == nil)
        bench.disk.crash(seed: 1)
        #expect(!bench.disk.exists(lost))
    }

    /// Pitfalls 8 and 23: what is appended to a segment without a chain could, behind a hole that a
    /// power cut leaves, not be told from damage.
    @Test(arguments: [SimulatedDisk.Fault.noSpace, .inputOutput])
    func `nothing is appended before the active segment has its chain file`(
        fault: SimulatedDisk.Fault
    ) async throws {
        let bench = Bench()
        bench.disk.inject { _, path, _ in path.hasSuffix(".chain") ? fault : nil }
        let partition = try bench.open()
        #expect(throws: LogError.self) { try partition.append(batch(["early"])) }
        #expect(bench.disk.content(bench.path(0)) == [])
        bench.disk.inject(nil)
        bench.settle()
        guard fault.code == SimulatedDisk.Fault.noSpace.code else {
            #expect(throws: LogError.self) { try partition.append(batch(["late"])) }
            return
        }
        _ = try? partition.append(batch(["asks again"]))
        bench.settle()
        let before = partition.logEnd
        try await bench.store(["late"], in: partition)
        #expect(partition.logEnd == before + 1)
        #expect(bench.disk.content(bench.path(0, ".chain"))?.isEmpty == false)
    }

    @Test func `the scrubber makes a missing chain file anew, and says so`() async throws {
        let bench = try await Bench.filled(segmentBytes: 1000, count: Self.count)
        let bases = try bench.bases()
        for base in bases { try bench.disk.remove(bench.path(base, ".chain")) }
        let partition = try bench.open()
        #expect(partition.notes.count == 1)
        partition.scrub { _ in }
        #expect(partition.failure == nil)
        #expect(partition.statistics.chainsMadeAnew == UInt64(bases.count - 1))
        #expect(bench.disk.content(bench.path(bases[1], ".chain"))?.isEmpty == false)
        #expect(try Self.damage(bench).isEmpty)
    }
}
