import ArgumentParser
import Simulation

/// `millrace-sim`: runs the program's own rooms over simulated time, disks and clients, by seed.
@main
struct Simulator: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "millrace-sim", abstract: "Simulated schedules, each told by its seed.",
        subcommands: [
            LogCommand.self,
            FaultsCommand.self,
            FlipCommand.self,
            GroupCommand.self,
            GroupCostCommand.self,
        ])
}

/// What every simulation is asked.
struct ScheduleOptions: ParsableArguments {
    @Option(help: "The first schedule's seed.") var seed: UInt64 = 1
    @Option(help: "How many schedules, of the seeds from there on.") var schedules = 1000
    @Option(help: "Schedules at a time.") var threads = 1

    /// Runs them, prints what came of it, and fails where a promise was broken.
    func run(
        _ name: String, _ schedule: @escaping @Sendable (UInt64) async -> ScheduleOutcome
    ) async throws {
        let report = await runSchedules(
            from: seed, count: schedules, threads: threads, schedule)
        for (seed, reason) in report.failures {
            print("seed \(seed): \(reason)")
            print("  alone: millrace-sim \(name) --seed \(seed) --schedules 1")
        }
        print(
            "\(name): \(schedules) schedules from seed \(seed), "
                + "\(report.failures.count) failed, trace \(String(report.trace, radix: 16))")
        if !report.failures.isEmpty { throw ExitCode.failure }
    }
}
