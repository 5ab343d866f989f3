import ArgumentParser
import Simulation

/// `millrace-sim log`: partitions, every fourth of them compacted, and every sixteenth time a whole
/// backend, over a disk that fails and forgets.
struct LogCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log", abstract: "Crashes and faults under the log and the embedded backend.")

    @OptionGroup var options: ScheduleOptions

    func run() async throws {
        try await options.run("log") { seed in
            seed % 16 == 0
                ? await BackendSchedule.run(seed: seed) : await LogSchedule.run(seed: seed)
        }
    }
}
