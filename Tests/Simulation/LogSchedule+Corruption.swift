import LogEngine
import TestSupport

/// What a broken disk or an operator does to the files of a stopped program.
extension LogSchedule {
    /// Changes one thing, and starts again. Then every record is served as it was, or the partition
    /// or the read says that something is damaged; nothing is missing in silence.
    mutating func corrupt() async throws {
        do throws(LogError) { try partition.close() } catch {
            throw Broken("a close without a fault failed: \(error)")
        }
        disk.kill()
        let names = try disk.list(Self.directory).filter { $0 != "checkpoint.tmp" }.sorted()
        let name = Self.directory + "/" + names[random.below(names.count)]
        let other = Self.directory + "/" + names[random.below(names.count)]
        var bytes = disk.content(name) ?? []
        let change: String
        switch random.below(5) {
        case 0, 1:
            change = "a bit of \(name) flipped"
            guard !bytes.isEmpty else { return }
            bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8))
            disk.setContent(name, bytes)
        case 2:
            change = "\(name) was cut short"
            disk.setContent(name, Array(bytes.prefix(random.below(bytes.count + 1))))
        case 3:
            change = "\(name) was removed"
            try disk.remove(name)
        default:
            change = "\(name) was exchanged for \(other)"
            let content = disk.content(other) ?? []
            disk.setContent(other, bytes)
            disk.setContent(name, content)
        }
        do throws(LogError) {
            partition = try Partition.open(
                Self.directory, disk: planted, time: time, workers: workers, options: options,
                progress: { _ in })
        } catch {
            throw Broken("after \(change) the start was refused: \(error)")
        }
        let end = partition.highWatermark.value
        let isTold = partition.failure != nil
        try promise(
            isTold || end >= promised, "\(change) and \(end) of \(promised) are there")
        let start = partition.logStart.value
        try promise(isTold || start <= logStart, "\(change) and records are deleted")
        do throws(LogError) { try await read(from: start, to: end) } catch {
            if case .damaged = error { return }
            throw Broken("after \(change): \(error)")
        }
    }
}
