import Simulation
import Testing

/// R1 in small; `millrace-sim log` runs as many as one likes.
struct LogScheduleTests {
    /// Pitfalls 1, 4, 5, 7, 8, 9, 12, 16, 17, 24 and 31, faults 1 to 19.
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
