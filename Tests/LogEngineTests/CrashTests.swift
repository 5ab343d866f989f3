import LogEngine
import Platform
import TestSupport
import Testing

/// Random lives of a partition that end in power cuts, checked against what was promised.
@Suite struct `A partition over power cuts` {
    /// What the outside world knows.
    private struct Known {
        /// Acknowledged: must be there, unchanged, until trimmed.
        var acknowledged: [Int64: String] = [:]
        /// Written, fate unknown after a crash.
        var written: [Int64: String] = [:]
        var logStart: Int64 = 0
        var highWatermark: Int64 = 0
        var next = 0
    }

    /// Pitfalls 1, 4, 5, 7, 9, 12, 16, 17: what was acknowledged or seen stays, no offset is used twice,
    /// no start is refused, whatever a power cut leaves of unsynced writes, names and sizes.
    @Test(arguments: 0..<400)
    func `nothing acknowledged is lost`(seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        var bench = Bench()
        bench.options.segmentBytes = 600
        var known = Known()
        for life in 0..<4 {
            let partition = try bench.open()
            #expect(
                partition.failure == nil, "seed \(seed), life \(life): \(partition.failure ?? "")")
            try await check(partition, &known, "seed \(seed), life \(life)")
            for _ in 0..<random.below(25) { try await step(partition, bench, &known, &random) }
            if random.below(4) == 0 {
                try partition.close()
                known.acknowledged.merge(known.written) { old, _ in old }
            } else {
                known.highWatermark = max(known.highWatermark, partition.highWatermark.value)
            }
            bench.disk.crash(seed: random.next())
            bench.settle()
        }
    }

    private func step(
        _ partition: Partition, _ bench: Bench, _ known: inout Known, _ random: inout SeededRandom
    ) async throws {
        switch random.below(10) {
        case 0..<5:
            let values = (0...random.below(3)).map { _ in "v\(known.next)" }
            let offset = try partition.append(batch(values))
            for (index, value) in values.enumerated() {
                known.written[offset.value + Int64(index)] = value
            }
            known.next += 1
        case 5..<8:
            bench.settle()
            try await partition.durable(before: partition.logEnd)
            known.acknowledged.merge(known.written) { old, _ in old }
        case 8:
            let before = Int64(random.below(Int(partition.highWatermark.value) + 1))
            known.logStart = try await partition.deleteRecords(before: Offset(before)).value
        default:
            bench.settle()
            known.highWatermark = max(known.highWatermark, partition.highWatermark.value)
        }
    }

    private func check(_ partition: Partition, _ known: inout Known, _ where: String) async throws {
        #expect(partition.logStart.value >= known.logStart, "\(`where`): the log start went back")
        #expect(
            partition.highWatermark.value >= known.highWatermark, "\(`where`): seen and then gone")
        let found = try await partition.values(from: partition.logStart.value)
        let start = partition.logStart.value
        for (offset, value) in known.acknowledged where offset >= start {
            #expect(found[offset] == value, "\(`where`): offset \(offset)")
        }
        for (offset, value) in found {
            #expect(
                known.written[offset] == value, "\(`where`): offset \(offset) was never \(value)")
        }
        // What a crash took back may be written anew at the same offset; it was promised to nobody.
        known.written = found.merging(known.acknowledged) { found, _ in found }
    }

    /// Pitfall 17: an emptied log goes on where it was.
    @Test func `offsets go on after everything was trimmed and the power was cut`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        try await bench.store(["a", "b", "c"], in: partition)
        let start = try await partition.deleteRecords(before: Offset(3))
        #expect(start == Offset(3))
        bench.disk.crash(seed: 3)
        let again = try bench.open()
        #expect((again.logStart, again.logEnd) == (Offset(3), Offset(3)))
        #expect(try await bench.store(["d"], in: again) == Offset(3))
    }

    /// Pitfalls 10 and 11: indexes are hints, whatever is in their files.
    @Test(arguments: ["missing", "empty", "swapped", "too long", "garbage"])
    func `a wrong index changes nothing`(kind: String) async throws {
        var bench = Bench()
        bench.options.segmentBytes = 20_000
        let partition = try bench.open()
        let large = String(repeating: "x", count: 700)
        for index in 0..<100 { try await bench.store(["\(index)" + large], in: partition) }
        let whole = try await partition.values()
        try partition.close()
        let names = try bench.disk.list(bench.directory).filter { $0.hasSuffix("index") }.sorted()
        for (place, name) in names.enumerated() {
            let path = bench.directory + "/" + name
            let bytes = bench.disk.content(path) ?? []
            switch kind {
            case "missing": try bench.disk.remove(path)
            case "empty": bench.disk.setContent(path, [])
            case "swapped":
                let other = bench.directory + "/" + names[(place + 2) % names.count]
                bench.disk.setContent(path, bench.disk.content(other) ?? [])
            case "too long": bench.disk.setContent(path, bytes + bytes + [1, 2, 3])
            default: bench.disk.setContent(path, bytes.map { $0 ^ 0x5A })
            }
        }
        let again = try bench.open()
        #expect(try await again.values() == whole)
        for offset in stride(from: Int64(0), to: 100, by: 7) {
            let page = try await again.values(from: offset)
            #expect(page.count == 100 - Int(offset))
            #expect(try await again.offset(atOrAfter: 1_700_000_000_000).value == 0)
        }
    }

    /// A checkpoint that is gone or not what was written deletes nothing and turns nothing back.
    @Test func `every flipped bit of the checkpoint is harmless`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        try await bench.store(["a", "b", "c"], in: partition)
        _ = try await partition.deleteRecords(before: Offset(1))
        try partition.close()
        let path = bench.directory + "/checkpoint"
        let good = try #require(bench.disk.content(path))
        let log = try #require(bench.disk.content(bench.path(0)))
        for bit in 0..<(good.count * 8) {
            var bytes = good
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            bench.disk.setContent(path, bytes)
            bench.disk.setContent(bench.path(0), log)
            let again = try bench.open()
            #expect(again.logEnd == Offset(3), "bit \(bit)")
            #expect(try await again.values(from: 1) == [1: "b", 2: "c"], "bit \(bit)")
            again.abandon()
        }
    }
}
