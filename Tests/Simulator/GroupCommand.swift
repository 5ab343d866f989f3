import ArgumentParser
import Simulation

/// `millrace-sim groups`: the coordinator among clients that fail, repeat and lie.
struct GroupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "groups", abstract: "Consumer groups under every fault.")

    @OptionGroup var options: ScheduleOptions

    func run() async throws {
        try await options.run("groups") { GroupSchedule.run(seed: $0) }
    }
}
