import LogEngine
import Platform
import TestSupport
import Testing

/// Power cuts at chosen moments. Random histories are `LogSchedule`'s.
struct CrashTests {
    /// Pitfall 4: the new segment's name is durable before what is in it is acknowledged.
    @Test(arguments: 0..<40)
    func `a rolled segment is still there after a crash right behind the acknowledgement`(
        seed: UInt64
    ) async throws {
        let bench = try await Bench.filled(segmentBytes: 150, count: 6, isClean: false)
        bench.disk.crash(seed: seed)
        let partition = try bench.open()
        #expect(partition.failure == nil)
        #expect(try await partition.values().count == 6)
    }

    /// Pitfall 7: the new segment reached the disk, the end of the old one did not.
    @Test(arguments: 0..<60)
    func `a roll that a crash reorders leaves no gap and no damage`(seed: UInt64) async throws {
        var bench = Bench()
        bench.options.segmentBytes = 300
        let partition = try bench.open()
        for index in 0..<4 { try await bench.store(["acked \(index)"], in: partition) }
        for index in 0..<12 { _ = try partition.append(batch(["lost or not \(index)"])) }
        bench.disk.crash(seed: seed)
        let again = try bench.open()
        #expect(again.failure == nil)
        let values = try await again.values()
        #expect(values.keys.sorted() == Array(0..<again.logEnd.value))
        #expect(values.count >= 4)
        let end = again.logEnd
        #expect(try await bench.store(["next"], in: again) == end)
        #expect(try await again.values()[end.value] == "next")
    }

    /// Pitfall 5: crash in front of each step of storing a checkpoint.
    @Test(arguments: 0..<8)
    func `a checkpoint is the old or the new one at every crash`(seed: UInt64) async throws {
        for step in 0..<12 {
            let bench = try await Bench.filled(segmentBytes: 300, count: 20)
            let partition = try bench.reopen()
            bench.disk.failAll(from: bench.disk.operationCount + step)
            let isAnswered: Bool
            do throws(LogError) {
                _ = try await partition.deleteRecords(before: Offset(10))
                isAnswered = true
            } catch {
                isAnswered = false
            }
            bench.disk.crash(seed: seed * 100 + UInt64(step))
            let checkpoint = bench.disk.content(bench.directory + "/checkpoint")
            #expect(checkpoint?.isEmpty == false)
            let again = try bench.open()
            #expect(again.failure == nil, "step \(step)")
            let start = again.logStart.value
            #expect(start == 10 || !isAnswered && start == 0, "step \(step)")
            #expect(try await again.values().count == 20 - Int(start), "step \(step)")
        }
    }
}
