import LogEngine
import Platform
import Synchronization
import TestSupport

/// R5: each bit of a file of a stopped partition flipped, one at a time. Every record is served as
/// it was, or the partition or the read says that something is damaged; nothing that stands in
/// front of the damage is missing, and nothing is deleted.
package struct BitFlips: Sendable {
    package enum Target: String, CaseIterable, Sendable {
        /// A sealed segment that a clean stop vouched for, or that recovery reads after a kill.
        case log, unvouchedLog
        case index, timeindex, chain, checkpoint
    }

    private static let directory = "/topics/EjRWeBI0Eka2gKurze8BIw/0"
    private static let firstTime: Int64 = 1_700_000_000_000
    private let target: Target
    /// Of all flips: a pool's threads stay.
    private let workers = WorkerPool(name: "simulated", limit: 2)
    private let options: PartitionOptions
    /// The stopped partition, and of its files the one that is flipped and the first segment's log.
    private let disk: SimulatedDisk
    private let names: [String]
    private let path: String
    private let bytes: [UInt8]
    private let log: [UInt8]
    /// The base offset of each batch, and behind the last the log's end.
    private let bounds: [Int64]

    /// How many bits there are to flip.
    package var bitCount: Int { bytes.count * 8 }
    /// What is made anew from the log where a file is not believed is the same for every bit: of a
    /// large file each so many bits go all the way. The others end where the making begins.
    private var wholeEvery: Int { bytes.count > 4096 ? 509 : 1 }

    /// A partition whose file of this kind has `byteCount` bytes or a few more. `trustsIndexes` is
    /// a fault planted on purpose: nothing says what the index files should hold.
    package init(_ target: Target, byteCount: Int, trustsIndexes: Bool = false) throws {
        self.target = target
        var options = PartitionOptions()
        var (valueBytes, batchCount) = (300, 40)
        switch target {
        case .log, .unvouchedLog: options.segmentBytes = Int64(byteCount)
        case .index, .timeindex:
            // An entry for each batch, of the time index for two of three.
            valueBytes = 4200
            batchCount = byteCount / 8
            options.segmentBytes = Int64((valueBytes + 100) * batchCount)
        case .chain:
            // A mark for each batch, in the one segment there is.
            valueBytes = 4200
            batchCount = byteCount / 20
        case .checkpoint:
            // A segment for each batch.
            batchCount = byteCount / 40
            options.segmentBytes = 700
        }
        if target == .log || target == .unvouchedLog {
            batchCount = Int(options.segmentBytes) / 700 * 3
        }
        self.options = options
        let disk = SimulatedDisk()
        let writers = WorkerPool(name: "simulated", limit: 0)
        let partition = try Self.open(disk, writers, options)
        var bounds: [Int64] = [0]
        for index in 0..<batchCount + 3 {
            var builder = RecordBatchBuilder()
            for record in 0..<(valueBytes > 1000 ? 1 : 2) {
                // Every third is older than the one before it.
                let offset = partition.logEnd.value + Int64(record)
                builder.append(
                    timestamp: Self.timestamp(offset), key: nil,
                    value: Self.value(offset, valueBytes).span)
            }
            _ = try partition.append(builder, isAwaited: false)
            bounds.append(partition.logEnd.value)
            if index % 16 == 15 { writers.runPending() }
        }
        writers.runPending()
        // Only recovery reads a chain.
        if target != .unvouchedLog, target != .chain { try partition.close() }
        disk.kill()
        self.bounds = bounds
        let checkpoint = Self.directory + "/checkpoint"
        if trustsIndexes, let bytes = disk.content(checkpoint) {
            disk.setContent(checkpoint, Self.withoutIndexChecksums(bytes))
        }
        self.disk = disk
        let suffix = target == .unvouchedLog ? "log" : target.rawValue
        path = target == .checkpoint ? checkpoint : "\(Self.first).\(suffix)"
        names = try disk.list(Self.directory)
        bytes = disk.content(path) ?? []
        log = disk.content(Self.firstLog) ?? []
    }

    /// The first segment's files, but for what says which one it is.
    private static let first = directory + "/" + String(repeating: "0", count: 20)
    private static let firstLog = first + ".log"

    private static func withoutIndexChecksums(_ checkpoint: [UInt8]) -> [UInt8] {
        var bytes = checkpoint
        for entry in stride(from: 52, to: bytes.count, by: 40) {
            bytes.setBigEndian(Int64(-1), at: entry + 32)
        }
        bytes.setBigEndian(crc32c(bytes.span.extracting(12..<bytes.count)), at: 8)
        return bytes
    }

    private static func timestamp(_ offset: Int64) -> Int64 {
        firstTime + offset - (offset % 3 == 2 ? 2 : 0)
    }

    private static func value(_ offset: Int64, _ byteCount: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: offset), count: byteCount)
        bytes.setBigEndian(offset, at: 0)
        return bytes
    }

    private static func open(
        _ disk: any Disk, _ workers: WorkerPool, _ options: PartitionOptions
    ) throws(LogError) -> Partition {
        try Partition.open(
            directory, disk: disk, time: ManualTime(), workers: workers, options: options,
            progress: { _ in })
    }

    // MARK: - One bit

    /// Flips a bit and starts; the failure says what was broken.
    package func flip(_ bit: Int) async -> ScheduleOutcome {
        do {
            if bit % wholeEvery != 0, try await isMadeAnew(bit) {
                return ScheduleOutcome(trace: 3, failure: nil)
            }
            return ScheduleOutcome(trace: try await isHarmless(bit) ? 1 : 2, failure: nil)
        } catch { return ScheduleOutcome(trace: 0, failure: "\(error)") }
    }

    private func flipped(_ bit: Int) -> SimulatedDisk {
        let disk = SimulatedDisk(sharing: disk)
        var flipped = bytes
        flipped[bit / 8] ^= 1 << UInt8(bit % 8)
        disk.setContent(path, flipped)
        return disk
    }

    /// Whether the file is not believed: a start, or the first read behind the first batches, goes
    /// through the whole log.
    private func isMadeAnew(_ bit: Int) async throws -> Bool {
        guard target == .index || target == .timeindex || target == .checkpoint else {
            return false
        }
        let disk = StoppingDisk(flipped(bit), names, at: Self.firstLog)
        let partition = try Self.open(disk, workers, options)
        defer { partition.abandon() }
        if target != .checkpoint, !disk.hasStopped {
            let offset = offsets(near: bit).first { $0 > 1 } ?? 2
            do throws(LogError) {
                _ = try await partition.read(from: Offset(offset), maxBytes: 1)
            } catch { return disk.hasStopped }
        }
        return disk.hasStopped
    }

    /// Whether everything is there; false where the damage is told.
    private func isHarmless(_ bit: Int) async throws -> Bool {
        let partition = try Self.open(flipped(bit), workers, options)
        defer { partition.abandon() }
        var isTold = partition.failure != nil
        let (start, end) = (partition.logStart.value, partition.highWatermark.value)
        guard start == 0, end == bounds.last || isTold else {
            throw Broken("bit \(bit): offsets \(start) to \(end) in silence")
        }
        // Where the damage is: nothing before it may be missing.
        let damaged = target == .log || target == .unvouchedLog ? offset(at: bit / 8) : .max
        guard end >= min(damaged, bounds[bounds.count - 1]) else {
            throw Broken("bit \(bit): ends at \(end), intact up to \(damaged)")
        }
        var reached: Int64 = 0
        for offset in offsets(near: bit) where reached <= offset && offset < end {
            do throws(LogError) {
                reached = try await check(from: offset, partition)
            } catch {
                guard case .damaged = error, offset >= damaged || isTold else {
                    throw Broken("bit \(bit): offset \(offset): \(error)")
                }
                isTold = true
            }
        }
        return !isTold
    }

    /// The base offset of the batch at a byte of the first segment.
    private func offset(at byte: Int) -> Int64 {
        var position = 0
        for bound in bounds {
            guard position + 12 <= log.count else { return bound }
            position += 12 + Int(log.span.int32(at: position + 8))
            if byte < position { return bound }
        }
        return .max
    }

    /// All batches of a small log; of a large one those about the entry.
    private func offsets(near bit: Int) -> [Int64] {
        let entry: Int
        switch target {
        case .log, .unvouchedLog: return bounds.dropLast()
        case .index: entry = bit / 64
        case .timeindex: entry = bit / 96 * 3 / 2
        case .chain: entry = (bit / 8 - 128) / 20
        case .checkpoint: entry = (bit / 8 - 52) / 40
        }
        let last = bounds.count - 2
        return [0, entry - 2, entry - 1, entry, entry + 1, entry + 2, entry + 40, last]
            .filter { 0...last ~= $0 }.map { bounds[$0] }
    }

    /// Reads on from an offset, in one page of a small log, and looks it up by its timestamp in a
    /// large one. Returns the offset behind what was read.
    private func check(
        from offset: Int64, _ partition: Partition
    ) async throws(LogError) -> Int64 {
        let usesTimes = target != .log && target != .unvouchedLog
        let bytes = try await partition.read(
            from: Offset(offset), maxBytes: usesTimes ? 1 : 1 << 20)
        var reader = RecordBatchReader(bytes)
        var next = offset
        while let record = try reader.next() {
            let value = record.value.map { Array(reader.bytes[$0]) } ?? []
            guard value == Self.value(record.offset.value, value.count), value.count > 200,
                record.timestamp == Self.timestamp(record.offset.value)
            else { throw .failed("a changed record") }
            guard record.offset.value >= offset else { continue }
            guard record.offset.value == next else { throw .failed("another offset") }
            next += 1
        }
        guard next > offset else { throw .failed("no record") }
        guard usesTimes else { return next }
        let time = Self.timestamp(offset)
        let found = try await partition.offset(atOrAfter: time).value
        let wanted = (max(0, offset - 3)...offset).first { Self.timestamp($0) >= time }
        guard found == wanted else { throw .failed("timestamp \(time) is found at \(found)") }
        return next
    }
}

/// A disk on which a file that is read from its beginning cannot be read any more.
private final class StoppingDisk: Disk {
    private let base: SimulatedDisk
    /// In the one directory there is, as it was found.
    private let names: [String]
    private let path: String
    private let state = Atomic(false)
    var hasStopped: Bool { state.load(ordering: .relaxed) }

    init(_ base: SimulatedDisk, _ names: [String], at path: String) {
        self.base = base
        self.names = names
        self.path = path
    }

    func read(at position: Int64) throws(DiskError) {
        if position == 0 { state.store(true, ordering: .relaxed) }
        if hasStopped { throw .inputOutput("pread", path) }
    }

    func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        let file = try base.open(path, mode)
        return path == self.path ? StoppingFile(file, self) : file
    }
    func list(_ directory: String) throws(DiskError) -> [String] { names }
    func exists(_ path: String) -> Bool { base.exists(path) }
    func createDirectory(_ path: String) throws(DiskError) { try base.createDirectory(path) }
    func rename(_ from: String, to: String) throws(DiskError) { try base.rename(from, to: to) }
    func remove(_ path: String) throws(DiskError) { try base.remove(path) }
    func removeDirectory(_ path: String) throws(DiskError) { try base.removeDirectory(path) }
    func syncDirectory(_ path: String) throws(DiskError) { try base.syncDirectory(path) }
}

private final class StoppingFile: DiskFile {
    private let base: any DiskFile
    private let disk: StoppingDisk

    init(_ base: any DiskFile, _ disk: StoppingDisk) {
        self.base = base
        self.disk = disk
    }

    func byteCount() throws(DiskError) -> Int64 { try base.byteCount() }
    func write(_ bytes: Span<UInt8>, at position: Int64) throws(DiskError) {
        try base.write(bytes, at: position)
    }
    func read(into bytes: inout [UInt8], count: Int, at position: Int64) throws(DiskError) {
        try disk.read(at: position)
        try base.read(into: &bytes, count: count, at: position)
    }
    func readIfCached(
        into bytes: inout [UInt8], count: Int, at position: Int64
    ) throws(DiskError) -> Bool {
        try disk.read(at: position)
        return try base.readIfCached(into: &bytes, count: count, at: position)
    }
    func sync() throws(DiskError) { try base.sync() }
    func truncate(to byteCount: Int64) throws(DiskError) { try base.truncate(to: byteCount) }
}
