import Simulation
import Testing

/// R1 in small; `millrace-sim log` runs as many as one likes.
struct LogScheduleTests {
    /// Pitfalls 1, 4, 5, 7, 8, 9, 12, 13, 14, 16, 17, 24 and 31, faults 1 to 19; every fourth
    /// partition is compacted.
    @Test(arguments: 0..<8)
    func `no schedule of crashes and faults breaks a promise of a partition`(block: UInt64) async {
        for seed in block * 50..<(block + 1) * 50 {
            let outcome = await LogSchedule.run(seed: seed)
            #expect(outcome.failure == nil, "seed \(seed)")
        }
    }

    /// Pitfalls 1, 5, 21 and 22.
    @Test(arguments: 0..<40 as Range<UInt64>)
    func `no schedule of power cuts breaks a promise of the backend`(seed: UInt64) async {
        let outcome = await BackendSchedule.run(seed: seed)
        #expect(outcome.failure == nil, "seed \(seed)")
    }

    @Test func `a seed tells the whole history`() async {
        for seed in UInt64(5000)..<5040 {
            let first = await LogSchedule.run(seed: seed)
            #expect(await LogSchedule.run(seed: seed).trace == first.trace, "seed \(seed)")
        }
        for seed in UInt64(5000)..<5005 {
            let first = await BackendSchedule.run(seed: seed)
            #expect(await BackendSchedule.run(seed: seed).trace == first.trace, "seed \(seed)")
        }
    }
}

/// R2: `millrace-sim faults` runs more workloads.
struct FaultSweepTests {
    /// The second is of a compacted partition.
    @Test(arguments: [8, 11] as [UInt64])
    func `each call of a workload may fail in each way, once or for good`(seed: UInt64) async {
        let report = await FaultSweep.run(seed: seed)
        #expect(report.callCount > 250)
        #expect(report.failures.isEmpty)
    }
}

/// The simulator itself: faults planted on purpose are found, each within a few schedules.
struct PlantedFaultTests {
    @Test(arguments: PlantedDisk.Fault.allCases)
    func `a planted fault is found`(fault: PlantedDisk.Fault) async {
        let report = await runSchedules(from: 1, count: 3000, threads: 1) { seed in
            await LogSchedule.run(seed: seed) { PlantedDisk($0, fault) }
        }
        #expect(!report.failures.isEmpty, "\(fault)")
    }
}

/// R5 and pitfall 25; `millrace-sim flip` takes every bit of larger files.
struct BitFlipTests {
    @Test(arguments: BitFlips.Target.allCases)
    func `a flipped bit is told or harmless`(target: BitFlips.Target) async throws {
        let flips = try BitFlips(target, byteCount: 600)
        for bit in stride(from: 0, to: flips.bitCount, by: 19) {
            #expect(await flips.flip(bit).failure == nil)
        }
    }

    /// Where a start or a read goes through the whole log, which is the same for each bit, the
    /// flips of a large file end.
    @Test(arguments: [BitFlips.Target.index, .timeindex, .checkpoint])
    func `of a large file as well, and most are not believed`(target: BitFlips.Target) async throws
    {
        let flips = try BitFlips(target, byteCount: 4200)
        var traces: [UInt64] = []
        for bit in stride(from: 1, to: flips.bitCount, by: 997) {
            let outcome = await flips.flip(bit)
            #expect(outcome.failure == nil)
            traces.append(outcome.trace)
        }
        #expect(traces.count { $0 == 3 } > traces.count * 9 / 10)
    }

    @Test(arguments: [600, 4200])
    func `an index that is trusted blindly is found`(byteCount: Int) async throws {
        let flips = try BitFlips(.timeindex, byteCount: byteCount, trustsIndexes: true)
        var failures = 0
        for bit in stride(from: 0, to: flips.bitCount, by: byteCount / 80)
        where byteCount == 600 || bit % 509 > 0 {
            if await flips.flip(bit).failure != nil { failures += 1 }
        }
        #expect(failures > 0)
    }
}
