import LogEngine
package import Platform
package import TestSupport
import Synchronization

/// A disk that does for the program what a fault in the program would: the simulator must find it.
package final class PlantedDisk: Disk {
    package enum Fault: String, CaseIterable, Sendable {
        /// fdatasync of a segment returns without having done anything.
        case skippedSync
        /// It returns before: the sync is done by the next call that comes.
        case earlyAcknowledgement
        /// What recovery cuts off stays.
        case keptTail
        /// fsync of a directory is left out.
        case lostDirectorySync
        /// A rename is seen before what was renamed is synced.
        case unsyncedCheckpoint
        /// What compaction has written is put in place before it is synced.
        case unsyncedDraft
        /// Of what it writes the records of one batch are missing.
        case lostRecords
        /// Tombstones are taken to have stood for their time.
        case agedTombstones
    }

    private let base: SimulatedDisk
    private let fault: Fault
    private let late = Mutex<[any DiskFile]>([])

    package init(_ base: SimulatedDisk, _ fault: Fault) {
        self.base = base
        self.fault = fault
    }

    fileprivate func sync(_ file: any DiskFile, _ path: String) throws(DiskError) {
        switch fault {
        case .skippedSync where path.hasSuffix(".log"): return
        case .unsyncedCheckpoint where path.hasSuffix("checkpoint.tmp"): return
        case .unsyncedDraft where path.hasSuffix(".cleaned"): return
        case .earlyAcknowledgement where path.hasSuffix(".log"):
            late.withLock { $0.append(file) }
        default: try file.sync()
        }
    }

    /// What was promised earlier.
    fileprivate func catchUp() {
        guard fault == .earlyAcknowledgement else { return }
        let files = late.withLock { files in
            defer { files = [] }
            return files
        }
        for file in files {
            do throws(DiskError) { try file.sync() } catch {
                // The fault has its way: nobody hears of it.
            }
        }
    }

    fileprivate func truncate(_ file: any DiskFile, to byteCount: Int64) throws(DiskError) {
        if fault == .keptTail, byteCount > 0 { return }
        try file.truncate(to: byteCount)
    }

    /// What is written instead of `bytes`.
    fileprivate func written(_ bytes: [UInt8], _ path: String) -> [UInt8] {
        guard fault == .lostRecords, path.hasSuffix(".cleaned") else { return bytes }
        var (bytes, start) = (bytes, 0)
        while let header = RecordBatchHeader(bytes.span, at: start) {
            let end = start + header.batchByteCount
            if header.recordCount > 0, end <= bytes.count {
                bytes.setBigEndian(UInt32(0), at: start + 57)
                let checksum = crc32c(bytes.span.extracting(start + 21..<end))
                bytes.setBigEndian(checksum, at: start + 17)
                break
            }
            start = end
        }
        return bytes
    }

    /// What is read instead of `bytes`: of how far a partition is compacted, the offset before
    /// which tombstones may go.
    fileprivate func found(_ bytes: [UInt8], _ path: String) -> [UInt8] {
        guard fault == .agedTombstones, path.hasSuffix("/compaction"), bytes.count >= 44 else {
            return bytes
        }
        var bytes = bytes
        bytes.setBigEndian(Int64.max, at: 32)
        bytes.setBigEndian(crc32c(bytes.span.extracting(12..<bytes.count)), at: 8)
        return bytes
    }

    package func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        PlantedFile(try base.open(path, mode), self, path)
    }
    package func list(_ directory: String) throws(DiskError) -> [String] {
        try base.list(directory)
    }
    package func exists(_ path: String) -> Bool { base.exists(path) }
    package func createDirectory(_ path: String) throws(DiskError) {
        try base.createDirectory(path)
    }
    package func rename(_ from: String, to: String) throws(DiskError) {
        try base.rename(from, to: to)
    }
    package func remove(_ path: String) throws(DiskError) { try base.remove(path) }
    package func removeDirectory(_ path: String) throws(DiskError) {
        try base.removeDirectory(path)
    }
    package func syncDirectory(_ path: String) throws(DiskError) {
        if fault != .lostDirectorySync { try base.syncDirectory(path) }
    }
}

private final class PlantedFile: DiskFile {
    private let base: any DiskFile
    private let disk: PlantedDisk
    private let path: String

    init(_ base: any DiskFile, _ disk: PlantedDisk, _ path: String) {
        self.base = base
        self.disk = disk
        self.path = path
    }

    func byteCount() throws(DiskError) -> Int64 { try base.byteCount() }
    func write(_ bytes: Span<UInt8>, at position: Int64) throws(DiskError) {
        disk.catchUp()
        var copy: [UInt8] = []
        copy.append(bytes)
        try base.write(disk.written(copy, path).span, at: position)
    }
    func read(into bytes: inout [UInt8], count: Int, at position: Int64) throws(DiskError) {
        try base.read(into: &bytes, count: count, at: position)
        bytes = disk.found(bytes, path)
    }
    func readIfCached(
        into bytes: inout [UInt8], count: Int, at position: Int64
    ) throws(DiskError) -> Bool {
        try base.readIfCached(into: &bytes, count: count, at: position)
    }
    func sync() throws(DiskError) { try disk.sync(base, path) }
    func truncate(to byteCount: Int64) throws(DiskError) {
        try disk.truncate(base, to: byteCount)
    }
}
