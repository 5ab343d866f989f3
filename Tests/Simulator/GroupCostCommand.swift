import ArgumentParser
import Simulation

/// `millrace-sim group-costs`: what the coordinator's decisions cost as one group grows.
struct GroupCostCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "group-costs", abstract: "The time of a join, a poll and an expiry.")

    @Option(help: "Members of the group.") var members = 1000
    @Option(help: "Partitions of its ten topics.") var partitions = 12_000

    func run() throws {
        guard var costs = GroupCosts(members: members, partitions: partitions) else {
            throw ValidationError("--members must be 2 at least")
        }
        print("\(members) members, \(partitions) partitions")
        for (what, each) in try costs.measure() { print("  \(what): \(each)") }
    }
}
