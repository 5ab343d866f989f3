import ArgumentParser
import Simulation

/// `millrace-sim faults`: every call of a workload times every fault.
struct FaultsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "faults", abstract: "Every disk call of a workload, with every fault.")

    @Option(help: "The first workload's seed.") var seed: UInt64 = 1
    @Option(help: "How many workloads.") var workloads = 1

    func run() async throws {
        var failed = 0
        for seed in seed..<seed + UInt64(workloads) {
            let report = await FaultSweep.run(seed: seed)
            for failure in report.failures.prefix(10) { print("seed \(seed), \(failure)") }
            failed += report.failures.count
            print(
                "faults: seed \(seed), \(report.callCount) calls, \(report.pairCount) pairs, "
                    + "\(report.failures.count) failed")
        }
        if failed > 0 { throw ExitCode.failure }
    }
}
