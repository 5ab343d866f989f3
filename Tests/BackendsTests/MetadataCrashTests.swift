import Backends
import Glibc
import LogEngine
import Platform
import Testing

/// Creating, altering, growing and deleting, with every operation on the disk failing in its turn:
/// once, with the program going on, and for ever, as when it is killed. Afterwards each topic is
/// whole or not there, and what was acknowledged holds.
struct MetadataCrashTests {
    private typealias Seam = BackendConformance

    private enum Step: String, CaseIterable {
        case create, alter, grow, delete
    }

    private static let faults: [(name: String, code: Int32?)] = [
        ("killed", nil), ("EIO", EIO), ("ENOSPC", ENOSPC),
    ]

    @Test(arguments: 0..<12)
    func `a fault at any step leaves a topic whole or not there`(number: Int) async throws {
        let step = Step.allCases[number % 4]
        let (name, code) = Self.faults[number / 4]
        var failing = 0
        var isReached = true
        while isReached {
            try await EmbeddedHarness.withDirectory { harness in
                let fault = code.map { FailingDisk.Fault.once(failing, $0) } ?? .from(failing)
                let disk = FailingDisk(SystemDisk(), fault, isArmed: false)
                try await prepare(harness)
                let backend = try await harness.started(disk: disk, locks: false)
                disk.arm()
                var succeeded = true
                do { try await run(step, backend) } catch { succeeded = false }
                isReached = disk.operationCount > failing
                let comment = "\(name) at step \(failing) of \(step)"
                if code != nil, isReached {
                    try await goOn(backend, step, succeeded, comment)
                    // A partition whose sync failed says so once more.
                    do { try await backend.close() } catch BackendError.partitionFailed {}
                }
                let after = try await harness.started(locks: false)
                try await check(after, step, succeeded, comment)
                try await after.close()
            }
            failing += 1
        }
        #expect(failing > 3)
    }

    /// What is there before: a topic with a record.
    private func prepare(_ harness: EmbeddedHarness) async throws {
        try await harness.run { backend in
            try await Seam.append(["old"], to: try await Seam.create(backend, "t", partitions: 2))
        }
    }

    private func run(_ step: Step, _ backend: EmbeddedBackend) async throws {
        var change = TopicChange()
        switch step {
        case .create:
            try await Seam.append(["new"], to: try await Seam.create(backend, "new", partitions: 2))
        case .alter:
            change.retentionMs = .some(5000)
            _ = try await backend.alterTopic("t", change)
        case .grow:
            change.partitionCount = 4
            _ = try await backend.alterTopic("t", change)
        case .delete: try await backend.deleteTopic("t")
        }
    }

    /// A partition that had no space for a file of its own refuses appends until a worker, which
    /// each refused one asks, has written that file.
    private func runAgain(_ step: Step, _ backend: EmbeddedBackend) async throws {
        for _ in 0..<1000 {
            do { return try await run(step, backend) } catch BackendError.storageFull {
                try await Task.sleep(for: .milliseconds(10))
            }
        }
        try await run(step, backend)
    }

    /// After one failed operation the same program serves, and the change can be tried again.
    private func goOn(
        _ backend: EmbeddedBackend, _ step: Step, _ succeeded: Bool, _ comment: String
    ) async throws {
        #expect(backend.isReady)
        if !succeeded, step != .delete || hasTopic(backend, "t") {
            // The failed operation may have been the append's: its partition stops (pitfall 2).
            do { try await runAgain(step, backend) } catch BackendError.partitionFailed {
                #expect(step == .create)
            }
        }
        guard step != .delete else {
            #expect(!hasTopic(backend, "t"), "\(comment)")
            return
        }
        #expect(try await Seam.values(of: backend.topic("t")) == ["old"], "\(comment)")
        try await Seam.append(["more"], to: backend.topic("t"))
    }

    private func hasTopic(_ backend: EmbeddedBackend, _ name: String) -> Bool {
        do {
            _ = try backend.topic(name)
            return true
        } catch { return false }
    }

    private func check(
        _ backend: EmbeddedBackend, _ step: Step, _ succeeded: Bool, _ comment: String
    ) async throws {
        #expect(backend.quarantined.isEmpty, "\(comment)")
        #expect(backend.statistics().failedPartitionCount == 0, "\(comment)")
        switch step {
        case .delete:
            if succeeded { #expect(!hasTopic(backend, "t"), "\(comment)") }
            if hasTopic(backend, "t") { try await checkOld(backend, comment) }
        case .create:
            try await checkOld(backend, comment)
            if succeeded { #expect(hasTopic(backend, "new"), "\(comment)") }
            let topic = try await Seam.create(backend, "new", partitions: 2)
            let values = try await Seam.values(of: topic)
            #expect(!succeeded || values.last == "new", "\(comment)")
        case .alter:
            try await checkOld(backend, comment)
            let retentionMs = try backend.topic("t").configuration.retentionMs
            #expect(retentionMs == 5000 || !succeeded, "\(comment)")
        case .grow:
            try await checkOld(backend, comment)
            let count = try backend.topic("t").partitionCount
            #expect(count == 4 || !succeeded && count == 2, "\(comment)")
            try await run(.grow, backend)
            let topic = try backend.topic("t")
            #expect(try await Seam.append(["x"], to: topic, 3) >= Offset(0), "\(comment)")
        }
    }

    private func checkOld(_ backend: EmbeddedBackend, _ comment: String) async throws {
        let topic = try backend.topic("t")
        #expect(try await Seam.values(of: topic).first == "old", "\(comment)")
        try await Seam.append(["more"], to: topic)
    }

    /// The first start: killed at any step, the next one succeeds.
    @Test
    func `a first start killed at any step is finished by the next`() async throws {
        var failing = 0
        var isReached = true
        while isReached {
            try await EmbeddedHarness.withDirectory { harness in
                let disk = FailingDisk(SystemDisk(), .from(failing))
                let backend = harness.backend(disk: disk, locks: false)
                do {
                    try await backend.start()
                    isReached = disk.operationCount > failing
                } catch {}
                try await harness.run { backend in
                    #expect(backend.quarantined.isEmpty, "step \(failing)")
                    let topic = try await Seam.create(backend, "t")
                    try await Seam.append(["a"], to: topic)
                    _ = try backend.stateLog.append([StateRecord(key: [], value: nil)], to: 15)
                }
            }
            failing += 1
        }
        #expect(failing > 20)
    }
}
