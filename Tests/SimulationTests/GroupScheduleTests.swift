import Simulation
import Testing

struct GroupScheduleTests {
    /// Pitfalls 32, 33, 35, 37, 38, 39, 41, 42 and 43, over every order the seeds come to.
    @Test(arguments: 0..<8 as Range<UInt64>)
    func `groups keep their promises among clients that fail, repeat and lie`(
        part: UInt64
    ) async {
        let report = await runSchedules(from: part * 40 + 1, count: 40, threads: 1) {
            GroupSchedule.run(seed: $0)
        }
        #expect(report.failures.map { "seed \($0.seed): \($0.reason)" } == [])
    }

    @Test
    func `the same seed gives the same trace`() {
        for seed in 1...40 as ClosedRange<UInt64> {
            let first = GroupSchedule.run(seed: seed).trace
            #expect(GroupSchedule.run(seed: seed).trace == first)
        }
    }

    /// Swift's hashes differ from process to process; the trace must not.
    @Test
    func `a seed's trace is the same in every process`() {
        #expect(GroupSchedule.run(seed: 1).trace == 0x382ec3770adc9f64)
    }

    /// What the simulator would not find, it does not prove.
    @Test(arguments: PlantedFault.allCases)
    func `a decision made wrong is found`(fault: PlantedFault) async {
        let report = await runSchedules(from: 1, count: 4_000, threads: 1) {
            GroupSchedule.run(seed: $0, planted: fault)
        }
        #expect(report.failures.count >= 10, "seeds \(report.failures.map(\.seed))")
    }
}
