import LogEngine
import Platform
import TestSupport
import Testing

/// Opening what a crash, a broken disk or an operator left.
struct RecoveryTests {
    // MARK: - Damaged files

    /// Pitfalls 8 and 9: nothing intact is behind it, so a write was cut short and goes away.
    @Test(
        arguments: [
            ("bad-torn-header", 10, 338), ("bad-torn-tail", 10, 338), ("bad-zero-tail", 15, 507),
        ]
    )
    func `a torn tail is cut off and writing goes on`(
        name: String, offset: Int64, byteCount: Int
    ) async throws {
        let bench = Bench()
        let partition = try bench.open(with: Vectors.log(name))
        #expect(partition.failure == nil)
        #expect(partition.logEnd == Offset(offset))
        #expect(partition.highWatermark == Offset(offset))
        #expect(bench.disk.content(bench.path(0))?.count == byteCount)
        #expect(try await partition.values().count == Int(offset))
        #expect(try await bench.store(["next"], in: partition) == Offset(offset))
        #expect(try await partition.values()[offset] == "next")
    }

    /// Pitfall 8: intact batches follow, so this is no torn write, and cutting would lose them.
    @Test(arguments: [
        "bad-middle-zeroed", "bad-bitflip-value", "bad-crc-field", "bad-length-huge",
        "bad-length-negative", "bad-magic", "bad-duplicate-batch",
    ])
    func `damage in front of intact batches is kept, named and not written behind`(
        name: String
    ) async throws {
        let bytes = try Vectors.log(name)
        let whole = try Vectors.expected("good-base")
        let before = Int64(try Vectors.intactPrefix(bytes))
        let bench = Bench()
        let partition = try bench.open(with: bytes)
        #expect(partition.failure?.contains("damaged at offset \(before)") == true)
        #expect(partition.failure?.contains("byte ") == true)
        #expect(try await partition.values().keys.sorted() == Array(0..<before))
        if before > 0 {
            let found = try Vectors.found(await partition.read(from: Offset(0), maxBytes: 1 << 20))
            #expect(found == Array(whole.prefix(Int(before))))
        }
        await #expect(throws: LogError.self) {
            try await partition.read(from: Offset(before), maxBytes: 1 << 20)
        }
        do throws(LogError) {
            _ = try partition.append(batch(["x"]))
            Issue.record("appended")
        } catch {
            guard case .damaged(let at, _) = error, at == Offset(before) else {
                Issue.record("\(error)")
                return
            }
        }
        try partition.close()
        bench.disk.crash(seed: 3)
        #expect(bench.disk.content(bench.path(0)) == bytes)
        #expect(try bench.open().failure != nil, "a second start does not forget")
        #expect(bench.disk.content(bench.path(0)) == bytes)
    }

    /// Pitfall 25, and R5 in small: what is served is what was written, and nothing goes away
    /// silently.
    @Test(arguments: [true, false])
    func `each flipped bit of a log is noticed or harmless, and deletes nothing`(
        isClean: Bool
    ) async throws {
        let bench = try await Bench.filled(segmentBytes: 1 << 20, count: 4, isClean: isClean)
        let whole = try #require(bench.disk.content(bench.path(0)))
        let checkpoint = try #require(bench.disk.content(bench.directory + "/checkpoint"))
        for bit in 0..<whole.count * 8 {
            var bytes = whole
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            bench.disk.setContent(bench.path(0), bytes)
            bench.disk.setContent(bench.directory + "/checkpoint", checkpoint)
            bench.disk.kill()
            let partition = try bench.open()
            let end = Int(partition.highWatermark.value)
            let isTold = partition.failure != nil
            #expect(isTold || end == 4, "bit \(bit)")
            #expect(bench.disk.content(bench.path(0)) == bytes, "bit \(bit)")
            do throws(LogError) {
                var reader = RecordBatchReader(
                    try await partition.read(from: Offset(0), maxBytes: 1 << 20))
                var next = 0
                while let record = try reader.next() {
                    let value = record.value.map {
                        String(decoding: reader.bytes[$0], as: UTF8.self)
                    }
                    #expect(record.offset.value == next && value == "value \(next)", "bit \(bit)")
                    next += 1
                }
            } catch {
                guard case .damaged = error else {
                    Issue.record("bit \(bit): \(error)")
                    continue
                }
            }
            partition.abandon()
        }
    }

    @Test func `a file that ends in one byte or in zeros alone is an empty log`() async throws {
        for bytes in [[0], [2], Array(repeating: 0, count: 5000), Array(repeating: 2, count: 5000)]
        {
            let bench = Bench()
            let partition = try bench.open(with: bytes.map(UInt8.init))
            #expect(partition.logEnd == Offset(0))
            #expect(try await bench.store(["a"], in: partition) == Offset(0))
        }
    }

    @Test(arguments: 0..<4)
    func `mutated logs open, and never trap`(seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        let whole = try Vectors.log("good-base")
        for _ in 0..<300 {
            let bench = Bench()
            let partition = try bench.open(with: random.mutated(whole))
            _ = try await partition.values()
            let found = try? await partition.offset(atOrAfter: 1_700_000_000_037)
            #expect(found.map { $0 <= partition.highWatermark } ?? true)
        }
    }

    /// Pitfalls 17 and 22: what a checkpoint knows and the directory lacks was lost, not deleted.
    @Test func `a sealed segment that is missing is reported and the others are kept`() async throws
    {
        let bench = try await Bench.filled(segmentBytes: 1000, count: 60)
        let bases = try bench.bases()
        #expect(bases.count >= 4)
        try bench.disk.remove(bench.path(bases[1]))
        let before = try bench.disk.list(bench.directory).count
        let partition = try bench.open()
        #expect(partition.failure?.contains("missing") == true)
        #expect(try await partition.values().count == bases[1])
        #expect(throws: LogError.self) { try partition.append(batch(["x"])) }
        #expect(try bench.disk.list(bench.directory).count >= before)
    }

    @Test func `all segments missing is damage, and no fresh start at offset zero`() async throws {
        let bench = try await Bench.filled(segmentBytes: 1000, count: 30)
        for base in try bench.bases() { try bench.disk.remove(bench.path(base)) }
        let partition = try bench.open()
        #expect(partition.failure?.contains("missing") == true)
        #expect(throws: LogError.self) { try partition.append(batch(["x"])) }
    }

    // MARK: - Crashes while opening

    /// Pitfall 12: the vouch of a clean stop goes first, so a crash at any step finds it gone
    /// or true.
    @Test(arguments: [true, false])
    func `a crash between any two steps of opening loses nothing, also twice`(
        isClean: Bool
    ) async throws {
        let count = 40
        var steps = 0
        var step = 0
        repeat {
            let bench = try await Bench.filled(segmentBytes: 1000, count: count, isClean: isClean)
            for round in 0..<2 {
                bench.disk.failAll(from: bench.disk.operationCount + step + round)
                let start = bench.disk.operationCount
                do throws(LogError) {
                    _ = try bench.reopen()
                } catch {
                    guard case .disk = error else {
                        Issue.record("step \(step): \(error)")
                        return
                    }
                }
                steps = max(steps, bench.disk.operationCount - start)
                bench.disk.crash(seed: UInt64(step * 2 + round))
            }
            let partition = try bench.reopen()
            #expect(partition.failure == nil, "step \(step)")
            #expect(partition.logEnd == Offset(Int64(count)), "step \(step)")
            #expect(try await partition.values().count == count, "step \(step)")
            #expect(try await bench.store(["x"], in: partition) == Offset(Int64(count)))
            step += 1
        } while step <= steps && step < 200
        #expect(step < 200)
    }

    /// Pitfall 12 once more, where it bit Kafka: appended after a clean stop, then a crash.
    @Test func `a vouch does not outlive the first append`() async throws {
        let bench = try await Bench.filled(segmentBytes: 100_000, count: 5)
        let partition = try bench.open()
        _ = try partition.append(batch(["unsynced"]))
        bench.disk.crash(seed: 9)
        let again = try bench.open()
        #expect(again.failure == nil)
        let values = try await again.values()
        #expect(values.count == Int(again.logEnd.value))
        #expect(values.count >= 5)
    }

    // MARK: - What is read at a start

    @Test func `after a clean stop no segment is read`() async throws {
        let bench = try await Bench.filled(segmentBytes: 20_000, count: 400)
        let reads = Counter()
        bench.disk.inject { operation, path, _ in
            if operation == .read, path.hasSuffix(".log") { reads.add(path) }
            return nil
        }
        let partition = try bench.open()
        #expect(reads.paths.isEmpty)
        #expect(partition.logEnd == Offset(400))
    }

    /// R7: of ten segments, the ninth and tenth at most.
    @Test func `after a crash only the unsynced tail is scanned`() async throws {
        let bench = try await Bench.filled(segmentBytes: 2000, count: 400, isClean: false)
        let bases = try bench.bases()
        #expect(bases.count > 8)
        let reads = Counter()
        bench.disk.crash(seed: 1)
        bench.disk.inject { operation, path, _ in
            if operation == .read, path.hasSuffix(".log") { reads.add(path) }
            return nil
        }
        let partition = try bench.open()
        #expect(Set(reads.paths) == [bench.path(bases[bases.count - 1])])
        #expect(partition.logEnd == Offset(400))
        #expect(try await partition.values().count == 400)
    }

    @Test func `progress tells the bytes that are scanned`() async throws {
        let bench = try await Bench.filled(segmentBytes: 1 << 30, count: 50, isClean: false)
        bench.disk.kill()
        let sum = Counter()
        let partition = try Partition.open(
            bench.directory, disk: bench.disk, time: bench.time, workers: bench.workers,
            options: bench.options, progress: { sum.add(bytes: $0) })
        #expect(sum.bytes == partition.byteCount)
    }
}
