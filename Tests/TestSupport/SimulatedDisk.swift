import Glibc
package import Platform
import Synchronization

/// A file system in memory that forgets, at a crash, what was not synced.
///
/// A file's content is durable by `sync` of the file, its name by `syncDirectory` of the directory,
/// and neither implies the other. `crash` keeps some of the rest: of each file the first few
/// unsynced changes, the next one torn or grown by zeros, or any of its blocks in any order; of each
/// directory the first few changes. A directory is there at once, unless `losesDirectories`: then it is an entry like a
/// file, and what is in it goes with it.
package final class SimulatedDisk: Disk {
    package enum Operation: String, Sendable, CaseIterable {
        case open, create, list, rename, remove, syncDirectory, read, write, sync, truncate
    }

    package struct Fault: Sendable, Equatable {
        package var code: Int32
        /// For a write: how many bytes arrive before it fails.
        package var writtenByteCount = 0

        package init(code: Int32, writtenByteCount: Int = 0) {
            self.code = code
            self.writtenByteCount = writtenByteCount
        }

        package static let inputOutput = Fault(code: EIO)
        package static let noSpace = Fault(code: ENOSPC)
    }

    /// Asked before each operation: what, on which path, how many there were before.
    package typealias Plan = @Sendable (Operation, String, Int) -> Fault?

    fileprivate enum Change {
        case write(Int, [UInt8])
        case truncate(Int)
    }

    fileprivate enum EntryChange {
        case link(String, Int)
        case unlink(String)
        case rename(String, String)
    }

    fileprivate struct Content {
        var live: [UInt8] = []
        var durable: [UInt8] = []
        var unsynced: [Change] = []
    }

    fileprivate struct State {
        var files: [Int: Content] = [:]
        var nextFile = 0
        var entries: [String: Int] = [:]
        var durableEntries: [String: Int] = [:]
        fileprivate var unsyncedEntries: [String: [EntryChange]] = [:]
        var epoch = 0
        var operationCount = 0
        var plan: Plan?
        var isCold = false
        var trace: [String] = []
        var openFileCount = 0
    }

    /// Stands for a directory where a file's number would be.
    private static let directoryMark = -1

    fileprivate let state: Mutex<State>
    private let syncGate = Gate()
    private let losesDirectories: Bool

    package init(losesDirectories: Bool = false) {
        self.losesDirectories = losesDirectories
        state = Mutex(State())
    }

    /// What another holds, without copying it: content is shared until one of them changes it.
    package init(sharing other: SimulatedDisk) {
        losesDirectories = other.losesDirectories
        state = Mutex(other.state.withLock { $0 })
    }

    // MARK: - What tests do

    package func inject(_ plan: Plan?) { state.withLock { $0.plan = plan } }
    package var operationCount: Int { state.withLock { $0.operationCount } }
    /// Files that someone holds open.
    package var openFileCount: Int { state.withLock { $0.openFileCount } }
    /// No read finds its bytes in the cache.
    package func setCold(_ isCold: Bool) { state.withLock { $0.isCold = isCold } }
    /// Every sync waits until `releaseSyncs`.
    package func holdSyncs() { syncGate.close() }
    package func releaseSyncs() { syncGate.open() }
    /// Syncs, renames and removals so far, such as `sync 0.log`, and forgets them.
    package func takeTrace() -> [String] {
        state.withLock { state in
            defer { state.trace = [] }
            return state.trace
        }
    }

    package func content(_ path: String) -> [UInt8]? {
        state.withLock { state in state.entries[path].flatMap { state.files[$0]?.live } }
    }

    /// Replaces what a file holds, durably: what a broken disk does.
    package func setContent(_ path: String, _ bytes: [UInt8]) {
        state.withLock { state in
            let file = state.entries[path] ?? state.nextFile
            if state.entries[path] == nil { state.nextFile += 1 }
            state.files[file] = Content(live: bytes, durable: bytes)
            state.entries[path] = file
            state.durableEntries[path] = file
        }
    }

    /// The power goes and comes back. Open files are of no use any more.
    package func crash(seed: UInt64) {
        state.withLock { state in
            var random = SeededRandom(seed: seed)
            state.epoch += 1
            state.plan = nil
            for file in state.files.keys.sorted() {
                state.files[file]?.crash(&random)
            }
            for directory in state.unsyncedEntries.keys.sorted() {
                let changes = state.unsyncedEntries[directory] ?? []
                let kept = random.below(changes.count + 1)
                for change in changes.prefix(kept) {
                    Self.apply(change, to: &state.durableEntries)
                }
            }
            state.unsyncedEntries = [:]
            state.durableEntries = state.durableEntries.filter {
                Self.hasDirectories($0.key, in: state.durableEntries)
            }
            state.entries = state.durableEntries
            let used = Set(state.entries.values)
            state.files = state.files.filter { used.contains($0.key) }
        }
    }

    /// The program ends, the machine goes on: nothing written is lost.
    package func kill() {
        state.withLock { state in
            state.epoch += 1
            state.plan = nil
        }
    }

    // MARK: - Disk

    package func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        let exists = exists(path)
        let operation: Operation = exists || mode == .read ? .open : .create
        try check(operation, path)
        return try state.withLock { state throws(DiskError) in
            if let file = state.entries[path] {
                guard file != Self.directoryMark else {
                    throw DiskError(operation: "open", path: path, code: EISDIR)
                }
                state.openFileCount += 1
                return SimulatedFile(self, path, file, state.epoch)
            }
            guard mode == .readWrite else { throw .notFound("open", path) }
            guard Self.isDirectory(Self.directory(of: path), in: state.entries) else {
                throw .notFound("open", path)
            }
            let file = state.nextFile
            state.nextFile += 1
            state.files[file] = Content()
            change(&state, .link(path, file), in: Self.directory(of: path))
            state.openFileCount += 1
            return SimulatedFile(self, path, file, state.epoch)
        }
    }

    package func list(_ directory: String) throws(DiskError) -> [String] {
        try check(.list, directory)
        return try state.withLock { state throws(DiskError) in
            guard Self.isDirectory(directory, in: state.entries) else {
                throw .notFound("opendir", directory)
            }
            return state.entries.keys.filter { Self.directory(of: $0) == directory }
                .map { String($0.dropFirst(directory.count + 1)) }.sorted()
        }
    }

    package func exists(_ path: String) -> Bool {
        state.withLock { $0.entries[path] != nil || path == "/" }
    }

    package func createDirectory(_ path: String) throws(DiskError) {
        state.withLock { state in
            var path = path
            while path != "/", state.entries[path] == nil {
                let parent = Self.directory(of: path)
                change(&state, .link(path, Self.directoryMark), in: parent)
                if !losesDirectories { state.durableEntries[path] = Self.directoryMark }
                path = parent
            }
        }
    }

    package func rename(_ from: String, to: String) throws(DiskError) {
        try check(.rename, from)
        try state.withLock { state throws(DiskError) in
            guard state.entries[from] != nil else { throw .notFound("rename", from) }
            state.trace.append("rename \(Self.name(from)) \(Self.name(to))")
            change(&state, .rename(from, to), in: Self.directory(of: from))
        }
    }

    package func remove(_ path: String) throws(DiskError) {
        try check(.remove, path)
        try state.withLock { state throws(DiskError) in
            guard state.entries[path] != nil else { throw .notFound("unlink", path) }
            state.trace.append("remove \(Self.name(path))")
            change(&state, .unlink(path), in: Self.directory(of: path))
        }
    }

    package func removeDirectory(_ path: String) throws(DiskError) {
        try state.withLock { state throws(DiskError) in
            guard state.entries[path] == Self.directoryMark else {
                throw .notFound("rmdir", path)
            }
            guard !state.entries.keys.contains(where: { Self.directory(of: $0) == path }) else {
                throw DiskError(operation: "rmdir", path: path, code: ENOTEMPTY)
            }
            change(&state, .unlink(path), in: Self.directory(of: path))
        }
    }

    package func syncDirectory(_ path: String) throws(DiskError) {
        try check(.syncDirectory, path)
        state.withLock { state in
            state.trace.append("sync directory")
            for change in state.unsyncedEntries.removeValue(forKey: path) ?? [] {
                Self.apply(change, to: &state.durableEntries)
            }
        }
    }

    // MARK: - Inside

    fileprivate func check(_ operation: Operation, _ path: String) throws(DiskError) {
        if let fault = fault(operation, path) {
            throw DiskError(operation: operation.rawValue, path: path, code: fault.code)
        }
    }

    fileprivate func fault(_ operation: Operation, _ path: String) -> Fault? {
        let (plan, number) = state.withLock { state in
            state.operationCount += 1
            return (state.plan, state.operationCount - 1)
        }
        return plan?(operation, path, number)
    }

    fileprivate func waitAtGate() { syncGate.pass() }

    private func change(_ state: inout State, _ change: EntryChange, in directory: String) {
        Self.apply(change, to: &state.entries)
        state.unsyncedEntries[directory, default: []].append(change)
    }

    private static func apply(_ change: EntryChange, to entries: inout [String: Int]) {
        switch change {
        case .link(let path, let file): entries[path] = file
        case .unlink(let path): entries[path] = nil
        case .rename(let from, let to):
            entries[to] = entries[from]
            entries[from] = nil
        }
    }

    private static func isDirectory(_ path: String, in entries: [String: Int]) -> Bool {
        path == "/" || entries[path] == directoryMark
    }

    private static func hasDirectories(_ path: String, in entries: [String: Int]) -> Bool {
        var path = path
        while path != "/" {
            path = directory(of: path)
            guard isDirectory(path, in: entries) else { return false }
        }
        return true
    }

    private static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { return "/" }
        return String(path[..<slash])
    }

    fileprivate static func name(_ path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }
}

extension SimulatedDisk.Content {
    mutating func write(_ position: Int, _ bytes: [UInt8]) {
        unsynced.append(.write(position, bytes))
        Self.apply(.write(position, bytes), to: &live)
    }

    mutating func truncate(_ byteCount: Int) {
        unsynced.append(.truncate(byteCount))
        Self.apply(.truncate(byteCount), to: &live)
    }

    mutating func sync() {
        for change in unsynced { Self.apply(change, to: &durable) }
        unsynced.removeAll()
    }

    /// A sync failed. As on Linux: the pages count as clean from now on, though they never got
    /// there. Lengths are the journal's, which keeps them.
    mutating func forgetWrites() {
        unsynced.removeAll { change in
            if case .write = change { return true }
            return false
        }
    }

    mutating func crash(_ random: inout SeededRandom) {
        guard !unsynced.isEmpty else {
            live = durable
            return
        }
        if random.below(2) == 0 { keepSome(&random) } else { keepFirst(&random) }
        unsynced.removeAll()
        live = durable
    }

    /// In order up to somewhere, and part of the next one.
    private mutating func keepFirst(_ random: inout SeededRandom) {
        let kept = random.below(unsynced.count + 1)
        for change in unsynced.prefix(kept) { Self.apply(change, to: &durable) }
        guard kept < unsynced.count, case .write(let position, let bytes) = unsynced[kept] else {
            return
        }
        switch random.below(4) {
        case 0:
            let torn = min(bytes.count, 512 * random.below(8))
            Self.apply(.write(position, Array(bytes.prefix(torn))), to: &durable)
        case 1:
            // The size came, the content did not.
            let zeros = [UInt8](repeating: 0, count: bytes.count)
            if position >= durable.count {
                Self.apply(.write(position, zeros), to: &durable)
            }
        case 2:
            let torn = random.below(bytes.count + 1)
            Self.apply(.write(position, Array(bytes.prefix(torn))), to: &durable)
        default: break
        }
    }

    /// Any blocks of any writes: later ones durable, earlier ones not. Lengths change in order.
    private mutating func keepSome(_ random: inout SeededRandom) {
        let block = random.below(2) == 0 ? 512 : 4096
        var truncates = random.below(unsynced.count + 1)
        let isWhole = random.below(2) == 0
        for change in unsynced {
            truncates -= 1
            guard case .write(let position, let bytes) = change else {
                if truncates >= 0 { Self.apply(change, to: &durable) }
                continue
            }
            if isWhole {
                if random.below(2) == 0 { Self.apply(change, to: &durable) }
                continue
            }
            var start = 0
            while start < bytes.count {
                let end = min(bytes.count, ((position + start) / block + 1) * block - position)
                if random.below(2) == 0 {
                    Self.apply(.write(position + start, Array(bytes[start..<end])), to: &durable)
                }
                start = end
            }
        }
    }

    private static func apply(_ change: SimulatedDisk.Change, to content: inout [UInt8]) {
        switch change {
        case .write(let position, let bytes):
            if content.count < position + bytes.count {
                let missing = position + bytes.count - content.count
                content.append(contentsOf: repeatElement(0, count: missing))
            }
            content.replaceSubrange(position..<position + bytes.count, with: bytes)
        case .truncate(let count):
            if count < content.count { content.removeLast(content.count - count) }
        }
    }
}

private final class SimulatedFile: DiskFile {
    private let disk: SimulatedDisk
    private let path: String
    private let file: Int
    private let epoch: Int

    init(_ disk: SimulatedDisk, _ path: String, _ file: Int, _ epoch: Int) {
        self.disk = disk
        self.path = path
        self.file = file
        self.epoch = epoch
    }

    deinit { disk.state.withLock { $0.openFileCount -= 1 } }

    func byteCount() throws(DiskError) -> Int64 {
        try with("fstat") { Int64($0.live.count) }
    }

    func write(_ bytes: Span<UInt8>, at position: Int64) throws(DiskError) {
        var copy: [UInt8] = []
        copy.append(bytes)
        if let fault = disk.fault(.write, path) {
            let arrived = Array(copy.prefix(max(0, min(fault.writtenByteCount, copy.count - 1))))
            if !arrived.isEmpty { try with("pwrite") { $0.write(Int(position), arrived) } }
            throw DiskError(operation: "pwrite", path: path, code: fault.code)
        }
        try with("pwrite") { $0.write(Int(position), copy) }
    }

    func read(into bytes: inout [UInt8], count: Int, at position: Int64) throws(DiskError) {
        try disk.check(.read, path)
        let found = try with("pread") { content in
            let start = min(Int(position), content.live.count)
            return Array(content.live[start..<min(start + count, content.live.count)])
        }
        bytes.append(contentsOf: found)
    }

    func readIfCached(
        into bytes: inout [UInt8], count: Int, at position: Int64
    ) throws(DiskError) -> Bool {
        if disk.state.withLock({ $0.isCold }) { return false }
        try read(into: &bytes, count: count, at: position)
        return true
    }

    func sync() throws(DiskError) {
        disk.waitAtGate()
        if let fault = disk.fault(.sync, path) {
            try with("fdatasync") { $0.forgetWrites() }
            throw DiskError(operation: "fdatasync", path: path, code: fault.code)
        }
        try with("fdatasync") { $0.sync() }
        disk.state.withLock { $0.trace.append("sync \(SimulatedDisk.name(path))") }
    }

    func truncate(to byteCount: Int64) throws(DiskError) {
        try disk.check(.truncate, path)
        try with("ftruncate") { $0.truncate(Int(byteCount)) }
    }

    private func with<Result>(
        _ operation: String, _ body: (inout SimulatedDisk.Content) -> Result
    ) throws(DiskError) -> Result {
        let result: Result? = disk.state.withLock { state in
            guard epoch == state.epoch, var content = state.files.removeValue(forKey: file) else {
                return nil
            }
            defer { state.files[file] = content }
            return body(&content)
        }
        guard let result else { throw .inputOutput(operation, path) }
        return result
    }
}
