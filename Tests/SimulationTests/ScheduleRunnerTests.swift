import Simulation
import Testing

struct ScheduleRunnerTests {
    @Test func `the report does not depend on how many run at a time`() async {
        let schedule: @Sendable (UInt64) async -> ScheduleOutcome = { seed in
            ScheduleOutcome(trace: seed &* 31, failure: seed == 7 ? "broken" : nil)
        }
        let one = await runSchedules(from: 3, count: 20, threads: 1, schedule)
        let four = await runSchedules(from: 3, count: 20, threads: 4, schedule)
        #expect(one.trace == four.trace)
        #expect(one.failures.map(\.seed) == [7])
        #expect(four.failures.map(\.reason) == ["broken"])
    }
}
