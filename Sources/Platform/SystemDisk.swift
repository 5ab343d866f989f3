import CPlatform
import Glibc
import Synchronization

/// The machine's own file system.
package struct SystemDisk: Disk {
    package init() {}

    package func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        let flags =
            switch mode {
            case .read: O_RDONLY | O_CLOEXEC
            case .readWrite: O_RDWR | O_CREAT | O_CLOEXEC
            }
        let descriptor = retrying { Glibc.open(path, flags, 0o640) }
        guard descriptor >= 0 else { throw DiskError.current("open", path) }
        return SystemDiskFile(descriptor: Int32(descriptor), path: path)
    }

    package func list(_ directory: String) throws(DiskError) -> [String] {
        guard let stream = opendir(directory) else { throw .current("opendir", directory) }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        guard errno == 0 else { throw .current("readdir", directory) }
        return names
    }

    package func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    package func createDirectory(_ path: String) throws(DiskError) {
        if mkdir(path, 0o750) == 0 || errno == EEXIST && isDirectory(path) { return }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex else {
            throw .current("mkdir", path)
        }
        try createDirectory(String(path[..<slash]))
        guard mkdir(path, 0o750) == 0 || errno == EEXIST else { throw .current("mkdir", path) }
    }

    package func rename(_ from: String, to: String) throws(DiskError) {
        guard Glibc.rename(from, to) == 0 else { throw .current("rename", from) }
    }

    package func remove(_ path: String) throws(DiskError) {
        guard unlink(path) == 0 else { throw .current("unlink", path) }
    }

    package func removeDirectory(_ path: String) throws(DiskError) {
        guard rmdir(path) == 0 else { throw .current("rmdir", path) }
    }

    package func syncDirectory(_ path: String) throws(DiskError) {
        let descriptor = retrying { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw .current("open", path) }
        defer { close(Int32(descriptor)) }
        guard fsync(Int32(descriptor)) == 0 else { throw .current("fsync", path) }
    }

    private func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}

/// One descriptor, closed when the last reference goes: who still reads a removed file keeps it,
/// and its number cannot come to mean another file meanwhile.
///
/// `close` reports nothing: what counts as written went through `sync` first.
final class SystemDiskFile: DiskFile {
    private let descriptor: Int32
    private let path: String
    /// Some file systems (older overlayfs and tmpfs) know no RWF_NOWAIT; asking once is enough.
    private let canReadWithoutWaiting = Atomic<Bool>(true)

    init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { close(descriptor) }

    func byteCount() throws(DiskError) -> Int64 {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .current("fstat", path) }
        return Int64(status.st_size)
    }

    func write(_ bytes: Span<UInt8>, at position: Int64) throws(DiskError) {
        let code: Int32 = bytes.withUnsafeBytes { buffer in
            var written = 0
            while written < buffer.count {
                let count = pwrite(
                    descriptor, buffer.baseAddress! + written, buffer.count - written,
                    off_t(position) + off_t(written))
                if count < 0, errno == EINTR { continue }
                if count < 0 { return errno }
                if count == 0 { return ENOSPC }
                written += count
            }
            return 0
        }
        guard code == 0 else { throw DiskError(operation: "pwrite", path: path, code: code) }
    }

    func read(into bytes: inout [UInt8], count: Int, at position: Int64) throws(DiskError) {
        let descriptor = descriptor
        let code = append(to: &bytes, count: count) { target, targetCount, done in
            pread(descriptor, target, targetCount, off_t(position) + off_t(done))
        }
        guard code == 0 else { throw DiskError(operation: "pread", path: path, code: code) }
    }

    func readIfCached(
        into bytes: inout [UInt8], count: Int, at position: Int64
    ) throws(DiskError) -> Bool {
        guard canReadWithoutWaiting.load(ordering: .relaxed) else { return false }
        let descriptor = descriptor
        let before = bytes.count
        let code = append(to: &bytes, count: count) { target, targetCount, done in
            millrace_pread_nowait(descriptor, target, targetCount, off_t(position) + off_t(done))
        }
        if code == 0 { return true }
        bytes.removeLast(bytes.count - before)
        if code == EAGAIN { return false }
        if code == EOPNOTSUPP || code == ENOSYS || code == EINVAL {
            canReadWithoutWaiting.store(false, ordering: .relaxed)
            return false
        }
        throw DiskError(operation: "preadv2", path: path, code: code)
    }

    func sync() throws(DiskError) {
        // Never tried again on EIO: the kernel has marked the pages clean, a second call would lie.
        let status = retrying { Int(fdatasync(descriptor)) }
        guard status == 0 else { throw .current("fdatasync", path) }
    }

    func truncate(to byteCount: Int64) throws(DiskError) {
        let status = retrying { Int(ftruncate(descriptor, off_t(byteCount))) }
        guard status == 0 else { throw .current("ftruncate", path) }
    }

    /// Calls `fill` until `count` bytes are appended or the file ends; returns 0 or errno.
    private func append(
        to bytes: inout [UInt8], count: Int,
        _ fill: (UnsafeMutableRawPointer, Int, Int) -> Int
    ) -> Int32 {
        var code: Int32 = 0
        bytes.append(addingCapacity: count) { (output: inout OutputSpan<UInt8>) in
            output.withUnsafeMutableBufferPointer { buffer, initializedCount in
                let start = UnsafeMutableRawPointer(buffer.baseAddress!) + initializedCount
                var done = 0
                while done < count {
                    let got = fill(start + done, count - done, done)
                    if got < 0, errno == EINTR { continue }
                    if got < 0 { code = errno }
                    if got <= 0 { break }
                    done += got
                }
                initializedCount += done
            }
        }
        return code
    }
}

/// Calls again while a signal interrupted the call.
private func retrying(_ call: () -> Int32) -> Int32 { Int32(retrying { Int(call()) }) }

private func retrying(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result >= 0 || errno != EINTR { return result }
    }
}
