import LogEngine
import Platform
import TestSupport

/// A batch with the right length and checksum: its records, encoded anew, are the same records.
@Sendable
func checkBatch(_ bytes: [UInt8]) throws(Contradiction) {
    var batch = bytes
    guard batch.count > RecordBatchHeader.byteCount else { return }
    batch.setBigEndian(UInt32(batch.count - 12), at: 8)
    repair(&batch, at: 0)
    let (records, error) = readRecords(batch)
    guard error == nil, !records.isEmpty else { return }
    var builder = RecordBatchBuilder()
    for record in records { record.append(to: &builder) }
    let again = try decode(builder.finish())
    try claim(again.count == records.count, "\(records.count) records became \(again.count)")
    for (before, after) in zip(records, again) {
        var before = before
        // Compaction leaves gaps, the builder makes none.
        before.offset = after.offset
        try claim(before == after, "\(before) became \(after)")
    }
}

/// Puts the right checksum on the batch at `position`, if one can stand there.
private func repair(_ bytes: inout [UInt8], at position: Int) {
    guard let header = RecordBatchHeader(bytes.span, at: position),
        header.batchByteCount <= bytes.count - position
    else { return }
    let checked = (position + 21)..<(position + header.batchByteCount)
    bytes.setBigEndian(crc32c(bytes.span.extracting(checked)), at: position + 17)
}

/// A segment file that a crash or a stranger left: what a partition serves of it is in order, and
/// the next start serves the same. Bits of the first byte: which batches get a right checksum.
@Sendable
func checkSegment(_ bytes: [UInt8]) async throws(Contradiction) {
    guard let repairs = bytes.first else { return }
    var log = Array(bytes.dropFirst())
    var position = 0
    for bit in 0..<8 {
        guard let header = RecordBatchHeader(log.span, at: position) else { break }
        if repairs >> bit & 1 != 0 { repair(&log, at: position) }
        guard header.batchByteCount < log.count - position else { break }
        position += header.batchByteCount
    }
    let disk = SimulatedDisk()
    try? disk.createDirectory(Sample.directory)
    disk.setContent(Sample.path(".log"), log)
    _ = try? PartitionVerdict(Sample.directory, disk: disk)
    guard let first = await Sample.open(disk) else { return }
    _ = try? PartitionVerdict(Sample.directory, disk: disk)
    guard let second = await Sample.open(disk) else {
        throw Contradiction(description: "opened once and not again")
    }
    try claim(first.start == second.start && first.end == second.end, "\(first), then \(second)")
    try claim(first.records == second.records, "other records after the next start")
    let offsets = first.records.map(\.offset)
    try claim(zip(offsets, offsets.dropFirst()).allSatisfy(<), "not in order: \(offsets)")
    try claim(
        offsets.allSatisfy { first.start <= $0 && $0 < first.end },
        "\(offsets) from \(first.start) to \(first.end)")
}

/// A sound log with one of the files beside it changed: no record is ever another than was written,
/// and an index hides none. Appending goes on, with an identity and without.
///
/// Byte 0 says which file, and what the rest is: with bit 6 all its content, else a list of places
/// (2 bytes) and what they are XORed with (1 byte). With bit 7 its checksum is made to fit.
@Sendable
func checkSidecars(_ bytes: [UInt8]) async throws(Contradiction) {
    guard let choice = bytes.first else { return }
    let name = Sample.sidecars[Int(choice & 0x3F) % Sample.sidecars.count]
    let path = Sample.directory + "/" + name
    let disk = Sample.disk()
    var content = disk.content(path) ?? []
    if choice & 0x40 != 0 {
        content = Array(bytes.dropFirst())
    } else {
        for at in stride(from: 1, to: bytes.count - 2, by: 3) {
            let place = Int(bytes[at]) << 8 | Int(bytes[at + 1])
            if place < content.count { content[place] ^= bytes[at + 2] }
        }
    }
    if choice & 0x80 != 0, ["checkpoint", "producers"].contains(name), content.count > 12 {
        content.setBigEndian(crc32c(content.span.extracting(12..<content.count)), at: 8)
    }
    disk.setContent(path, content)
    guard let found = await Sample.open(disk, appending: true) else { return }
    for record in found.records {
        let index = Int(record.offset)
        let wasWritten = Sample.records.indices.contains(index) && Sample.records[index] == record
        try claim(wasWritten, "\(record) was never written")
    }
    if name.hasSuffix("index") {
        let offsets = found.records.map(\.offset)
        try claim(found.records == Sample.records, "records are hidden: \(offsets)")
    }
}

/// A partition with several index entries that was stopped cleanly, and what is read of one.
private enum Sample {
    static let directory = "/data/0"

    static func path(_ suffix: String) -> String { "\(directory)/00000000000000000000\(suffix)" }

    static let records: [StoredRecord] = (0..<24).map { index in
        StoredRecord(
            offset: Int64(index), timestamp: 1_700_000_000_000 + Int64(index * 1000),
            key: [UInt8(index)], value: [UInt8](repeating: UInt8(index), count: 700), headers: [])
    }

    private static let files: [String: [UInt8]] = {
        let disk = SimulatedDisk()
        do {
            let partition = try open(disk)
            for record in records {
                var builder = RecordBatchBuilder()
                record.append(to: &builder)
                _ = try partition.append(builder, under: rules(Int32(record.offset)))
            }
            try partition.close()
            return Dictionary(
                uniqueKeysWithValues: try disk.list(directory).map {
                    ($0, disk.content("\(directory)/\($0)") ?? [])
                })
        } catch { preconditionFailure("\(error)") }
    }()

    static let sidecars = files.keys.filter { !$0.hasSuffix(".log") }.sorted()

    static func disk() -> SimulatedDisk {
        let disk = SimulatedDisk()
        try? disk.createDirectory(directory)
        for (name, content) in files { disk.setContent("\(directory)/\(name)", content) }
        return disk
    }

    private static func open(_ disk: SimulatedDisk) throws(LogError) -> Partition {
        try Partition.open(
            directory, disk: disk, time: ManualTime(), workers: WorkerPool(name: "fuzz", limit: 0),
            options: PartitionOptions(), progress: { _ in })
    }

    struct Found {
        var start: Int64
        var end: Int64
        /// Of each offset the record that a read from there brings first.
        var records: [StoredRecord]
    }

    /// Every third from a producer of ID 5, every third with the key of that number.
    private static func rules(_ number: Int32) -> AppendRules {
        switch number % 3 {
        case 0:
            let sequence = ProducerSequence(id: 5, epoch: 1, sequence: number / 3)
            return AppendRules(identity: .producer(sequence))
        case 1:
            let stamp = KeyStamp(
                id: BatchIdentity.firstKeyID + Int64(number), partitionCount: 1,
                fingerprint: number, firstTried: 1)
            return AppendRules(identity: .key(stamp))
        default: return AppendRules()
        }
    }

    /// Opens it, reads at every offset, stops it. nil where it does not open.
    static func open(_ disk: SimulatedDisk, appending: Bool = false) async -> Found? {
        guard let partition: Partition = try? open(disk) else { return nil }
        var found = Found(
            start: partition.logStart.value, end: partition.highWatermark.value, records: [])
        var offset = partition.logStart
        while offset < partition.highWatermark {
            let bytes = (try? await partition.read(from: offset, maxBytes: 1)) ?? []
            let records = readRecords(bytes).records
            guard let record = records.first(where: { $0.offset >= offset.value }) else {
                offset = offset.next
                // Damage may say that millions of offsets are there.
                if offset.value - found.start > 1000 { break }
                continue
            }
            found.records.append(record)
            _ = try? await partition.offset(atOrAfter: record.timestamp)
            offset = Offset(record.offset).next
        }
        if appending {
            for number in Int32(0)..<6 {
                var builder = RecordBatchBuilder()
                records[0].append(to: &builder)
                _ = try? partition.append(builder, under: rules(number))
                _ = partition.trace(ofKey: BatchIdentity.firstKeyID + Int64(number))
            }
            partition.expireIdentities()
        }
        try? partition.close()
        return found
    }
}
