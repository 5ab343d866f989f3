package import TestSupport

/// R2: every call of a fixed workload times every fault, once and sticky; then the power goes, the
/// program starts again, and every promise must hold.
package enum FaultSweep {
    /// EIO, ENOSPC, EROFS, EMFILE and EDQUOT; writes of which 1, 60 and 512 bytes arrive.
    package static let faults: [SimulatedDisk.Fault] =
        [5, 28, 30, 24, 122].map { SimulatedDisk.Fault(code: $0) }
        + [1, 60, 512].map { SimulatedDisk.Fault(code: 28, writtenByteCount: $0) }

    package struct Report: Sendable {
        package var callCount = 0
        package var pairCount = 0
        package var failures: [String] = []
    }

    /// The workload is the schedule of `seed` without its own faults.
    package static func run(seed: UInt64) async -> Report {
        var report = Report()
        let whole = LogSchedule.FixedFault(number: .max, fault: .inputOutput, isSticky: false)
        report.callCount = await LogSchedule.run(seed: seed, fault: whole).callCount
        for number in 0..<report.callCount {
            for fault in faults {
                for isSticky in [false, true] {
                    let fixed = LogSchedule.FixedFault(
                        number: number, fault: fault, isSticky: isSticky)
                    let outcome = await LogSchedule.run(seed: seed, fault: fixed).outcome
                    report.pairCount += 1
                    guard let failure = outcome.failure else { continue }
                    report.failures.append(
                        "call \(number), error \(fault.code), \(fault.writtenByteCount) bytes, "
                            + "sticky \(isSticky): \(failure)")
                }
            }
        }
        return report
    }
}
