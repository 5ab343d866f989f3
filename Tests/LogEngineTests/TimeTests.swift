import LogEngine
import Platform
import TestSupport
import Testing

/// Pitfall 19: finding offsets by timestamps that come in any order.
struct TimeTests {
    /// The model: the first record in order of offsets that is as new, or the high watermark.
    @Test(arguments: 0..<20)
    func `a search by timestamp finds what a linear scan finds`(seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        var bench = Bench()
        bench.options.segmentBytes = Int64(2000 + random.below(20_000))
        var partition = try bench.open()
        var times: [Int64] = []
        let kind = random.below(4)
        let padding = [UInt8](repeating: 1, count: random.below(300))
        for _ in 0..<150 {
            var builder = RecordBatchBuilder()
            for _ in 0...random.below(4) {
                let at = Int64(times.count)
                let timestamp =
                    switch kind {
                    case 0: at * 10
                    case 1: -at * 10
                    case 2: Int64(random.below(2000)) - 1000
                    default:
                        random.below(50) == 0 ? 10_413_792_000_000 : at + Int64(random.below(30))
                    }
                times.append(timestamp)
                builder.append(timestamp: timestamp, key: nil, value: padding.span)
            }
            _ = try partition.append(builder)
            if random.below(3) == 0 { bench.settle() }
        }
        bench.settle()
        var start = 0
        for round in 0..<3 {
            for _ in 0..<60 {
                let wanted = times[random.below(times.count)] + Int64(random.below(3)) - 1
                let found = try await partition.offset(atOrAfter: wanted)
                let scanned = times.indices.first { $0 >= start && times[$0] >= wanted }
                #expect(found == Offset(Int64(scanned ?? times.count)), "seed \(seed), \(wanted)")
            }
            #expect(try await partition.offset(atOrAfter: .max) == Offset(Int64(times.count)))
            #expect(try await partition.offset(atOrAfter: .min) == Offset(Int64(start)))
            if round == 0 {
                start = random.below(times.count)
                _ = try await partition.deleteRecords(before: Offset(Int64(start)))
            } else {
                if random.below(2) == 0 { try partition.close() }
                bench.disk.kill()
                partition = try bench.open()
            }
        }
    }

    @Test func `a record that is not durable is not found`() async throws {
        let bench = Bench()
        let partition = try bench.open()
        _ = try partition.append(batch(["a"], timestamp: 5))
        #expect(try await partition.offset(atOrAfter: 5) == Offset(0))
        _ = try partition.append(batch(["b"], timestamp: 9))
        #expect(try await partition.offset(atOrAfter: 9) == Offset(0))
        bench.settle()
        #expect(try await partition.offset(atOrAfter: 9) == Offset(1))
    }
}
