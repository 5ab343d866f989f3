import ArgumentParser
import Simulation

/// `millrace-sim flip`: each bit of each kind of file. Of files of 64 KiB, on one core: `index` and
/// `timeindex` 2 minutes each, `log` and `unvouchedLog` 6, `checkpoint` and `chain`, for each bit a
/// recovery of 13 MiB, 35.
struct FlipCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flip", abstract: "Every bit of a partition's files, flipped once.")

    @Option(help: "The kinds of file: \(BitFlips.Target.allCases.map(\.rawValue)).")
    var target: [String] = BitFlips.Target.allCases.map(\.rawValue)
    @Option(help: "How large the file is.") var bytes = 64 << 10
    @Option(help: "Each so many bits one.") var every = 1
    @Option(help: "Bits at a time.") var threads = 1

    func validate() throws {
        for name in target where BitFlips.Target(rawValue: name) == nil {
            throw ValidationError("There is no kind of file \(name).")
        }
        guard every > 0 else { throw ValidationError("--every is at least 1.") }
    }

    func run() async throws {
        var failed = 0
        for target in target.compactMap(BitFlips.Target.init) {
            let flips = try BitFlips(target, byteCount: bytes)
            let count = (flips.bitCount + every - 1) / every
            let report = await runSchedules(from: 0, count: count, threads: threads) {
                await flips.flip(Int($0) * every)
            }
            for failure in report.failures { print("\(target): \(failure.reason)") }
            failed += report.failures.count
            print(
                "flip \(target): \(count) of \(flips.bitCount) bits, "
                    + "\(report.failures.count) failed")
        }
        if failed > 0 { throw ExitCode.failure }
    }
}
