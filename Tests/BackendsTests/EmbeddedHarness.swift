import Backends
import Glibc
import Logging
import Platform
import Synchronization
import Testing

/// A data directory of its own, and backends one after the other over it, as over restarts.
final class EmbeddedHarness: Sendable {
    let path: String
    let disk: any Disk
    let time: any TimeSource
    /// One for all tests: its threads stay.
    private static let workers = WorkerPool(name: "test", limit: 8)
    private let random: Mutex<UInt64>

    init(
        path: String, disk: any Disk = SystemDisk(), time: any TimeSource = SystemTime(),
        seed: UInt64 = 1
    ) {
        self.path = path
        self.disk = disk
        self.time = time
        random = Mutex(seed)
    }

    /// Runs `body` with a fresh directory in memory, removed at the end.
    static func withDirectory(
        time: any TimeSource = SystemTime(),
        _ body: (EmbeddedHarness) async throws -> Void
    ) async throws {
        let path = "/dev/shm/millrace-test-\(getpid())-\(UInt64.random(in: 0...(.max)))"
        let harness = EmbeddedHarness(path: path, time: time)
        do { try await body(harness) } catch {
            removeTree(path)
            throw error
        }
        removeTree(path)
    }

    func backend(disk: (any Disk)? = nil, locks: Bool = true) -> EmbeddedBackend {
        var options = EmbeddedBackend.Options()
        options.locksDirectory = locks
        return EmbeddedBackend(
            path, disk: disk ?? self.disk, time: time, workers: Self.workers,
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            random: { [self] in
                random.withLock {
                    $0 = $0 &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    return $0 ^ $0 >> 29
                }
            }, options: options)
    }

    func started(disk: (any Disk)? = nil, locks: Bool = true) async throws -> EmbeddedBackend {
        let backend = backend(disk: disk, locks: locks)
        try await backend.start()
        return backend
    }

    /// One life of the program, stopped cleanly.
    func run(_ body: (EmbeddedBackend) async throws -> Void) async throws {
        let backend = try await started()
        try await body(backend)
        try await backend.close()
    }

    // MARK: - Files, behind the backend's back

    func topicPath(_ topic: any Topic) -> String { path + "/topics/" + topic.topicID }

    func read(_ path: String) throws -> [UInt8] {
        let file = try SystemDisk().open(path, .read)
        var bytes: [UInt8] = []
        try file.read(into: &bytes, count: Int(file.byteCount()), at: 0)
        return bytes
    }

    func write(_ path: String, _ bytes: [UInt8]) throws {
        let file = try SystemDisk().open(path, .readWrite)
        try file.truncate(to: 0)
        try file.write(bytes.span, at: 0)
    }

    /// Every file below a directory with its bytes.
    func snapshot(_ path: String) throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in try SystemDisk().list(path) {
            let entry = path + "/" + name
            if isDirectory(entry) {
                for (name, bytes) in try snapshot(entry) { files[name] = bytes }
            } else {
                files[entry] = try read(entry)
            }
        }
        return files
    }
}

func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

func removeTree(_ path: String) {
    for name in (try? SystemDisk().list(path)) ?? [] {
        let entry = path + "/" + name
        if isDirectory(entry) { removeTree(entry) } else { unlink(entry) }
    }
    rmdir(path)
}

/// Another disk, where the operation of a given number, counted from 0, or all from it on, fail.
///
/// Only what changes the disk is counted. All failing from one on is what a kill leaves behind:
/// what was done before is there, and nothing after.
final class FailingDisk: Disk {
    enum Fault: Sendable {
        case none
        case once(Int, Int32)
        case from(Int)
    }

    private let base: any Disk
    private let fault: Fault
    private let counted = Mutex(0)
    private let isArmed = Mutex(true)

    init(_ base: any Disk, _ fault: Fault, isArmed: Bool = true) {
        self.base = base
        self.fault = fault
        self.isArmed.withLock { $0 = isArmed }
    }

    var operationCount: Int { counted.withLock { $0 } }
    /// Counting begins.
    func arm() { isArmed.withLock { $0 = true } }

    fileprivate func step(_ operation: String, _ path: String) throws(DiskError) {
        guard isArmed.withLock({ $0 }) else { return }
        let number = counted.withLock { counted in
            defer { counted += 1 }
            return counted
        }
        switch fault {
        case .none: return
        case .once(let failing, let code):
            if number == failing { throw DiskError(operation: operation, path: path, code: code) }
        case .from(let failing):
            if number >= failing { throw DiskError(operation: operation, path: path, code: EIO) }
        }
    }

    func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        if case .readWrite = mode, !base.exists(path) { try step("open", path) }
        return FailingFile(try base.open(path, mode), self, path)
    }
    func list(_ directory: String) throws(DiskError) -> [String] { try base.list(directory) }
    func exists(_ path: String) -> Bool { base.exists(path) }
    func createDirectory(_ path: String) throws(DiskError) {
        try step("mkdir", path)
        try base.createDirectory(path)
    }
    func rename(_ from: String, to: String) throws(DiskError) {
        try step("rename", from)
        try base.rename(from, to: to)
    }
    func remove(_ path: String) throws(DiskError) {
        try step("unlink", path)
        try base.remove(path)
    }
    func removeDirectory(_ path: String) throws(DiskError) {
        try step("rmdir", path)
        try base.removeDirectory(path)
    }
    func syncDirectory(_ path: String) throws(DiskError) {
        try step("fsync", path)
        try base.syncDirectory(path)
    }
}

private final class FailingFile: DiskFile {
    private let base: any DiskFile
    private let disk: FailingDisk
    private let path: String

    init(_ base: any DiskFile, _ disk: FailingDisk, _ path: String) {
        self.base = base
        self.disk = disk
        self.path = path
    }

    func byteCount() throws(DiskError) -> Int64 { try base.byteCount() }
    func write(_ bytes: Span<UInt8>, at position: Int64) throws(DiskError) {
        try disk.step("pwrite", path)
        try base.write(bytes, at: position)
    }
    func read(into bytes: inout [UInt8], count: Int, at position: Int64) throws(DiskError) {
        try base.read(into: &bytes, count: count, at: position)
    }
    func readIfCached(
        into bytes: inout [UInt8], count: Int, at position: Int64
    ) throws(DiskError) -> Bool {
        try base.readIfCached(into: &bytes, count: count, at: position)
    }
    func sync() throws(DiskError) {
        try disk.step("fdatasync", path)
        try base.sync()
    }
    func truncate(to byteCount: Int64) throws(DiskError) {
        try disk.step("ftruncate", path)
        try base.truncate(to: byteCount)
    }
}
