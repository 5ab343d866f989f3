import ArgumentParser
import Simulation

/// `millrace-sim flip`: each bit of each kind of file.
struct FlipCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flip", abstract: "Every bit of a partition's files, flipped once.")

    @Option(help: "The kinds of file: \(BitFlips.Target.allCases.map(\.rawValue)).")
    var target: [String] = BitFlips.Target.allCases.map(\.rawValue)
    @Option(help: "How large the file is.") var bytes = 64 << 10
    @Option(help: "Bits at a time.") var threads = 1

    func validate() throws {
        for name in target where BitFlips.Target(rawValue: name) == nil {
            throw ValidationError("There is no kind of file \(name).")
        }
    }

    func run() async throws {
        var failed = 0
        for target in target.compactMap(BitFlips.Target.init) {
            let flips = try BitFlips(target, byteCount: bytes)
            let report = await runSchedules(from: 0, count: flips.bitCount, threads: threads) {
                await flips.flip(Int($0))
            }
            for failure in report.failures { print("\(target): \(failure.reason)") }
            failed += report.failures.count
            print("flip \(target): \(flips.bitCount) bits, \(report.failures.count) failed")
        }
        if failed > 0 { throw ExitCode.failure }
    }
}
