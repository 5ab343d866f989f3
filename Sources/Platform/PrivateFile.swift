import Glibc

/// A file with secrets: only its owner may read it. Replaced whole or not at all.
package enum PrivateFile {
    /// Tells whether a file was replaced or written to since.
    package struct Stamp: Equatable, Sendable {
        fileprivate var inode: UInt
        fileprivate var byteCount: Int
        fileprivate var seconds: Int
        fileprivate var nanoseconds: Int
    }

    /// nil where there is no such file, or it cannot be looked at.
    package static func stamp(_ path: String) -> Stamp? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Stamp(
            inode: UInt(status.st_ino), byteCount: Int(status.st_size),
            seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
    }

    /// Whether group or others may read or write it; throws where it is no plain file.
    package static func isOpenToOthers(_ path: String) throws(DiskError) -> Bool {
        var status = stat()
        guard stat(path, &status) == 0 else { throw .current("stat", path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw DiskError(operation: "read", path: path, code: EISDIR)
        }
        return status.st_mode & 0o077 != 0
    }

    /// All of its bytes, `limit` of them at most: one more byte than that says that it is longer.
    package static func read(_ path: String, limit: Int) throws(DiskError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .current("open", path) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= limit {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .current("read", path) }
            if count == 0 { break }
            bytes.append(contentsOf: buffer[..<count])
        }
        return bytes
    }

    /// Writes `bytes` to a file beside `path` with mode 0600, syncs it, and puts it in its place:
    /// after a crash there is the old file or the new one, whole (pitfall 5).
    package static func replace(_ path: String, with bytes: [UInt8]) throws(DiskError) {
        let draft = path + ".new"
        unlink(draft)
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .current("open", draft) }
        do throws(DiskError) {
            defer { close(descriptor) }
            try write(bytes, descriptor, draft)
            guard fsync(descriptor) == 0 else { throw .current("fsync", draft) }
        } catch {
            unlink(draft)
            throw error
        }
        guard rename(draft, path) == 0 else { throw .current("rename", draft) }
        let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        try SystemDisk().syncDirectory(directory)
    }

    private static func write(
        _ bytes: [UInt8], _ descriptor: Int32, _ path: String
    ) throws(DiskError) {
        var start = 0
        while start < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress! + start, $0.count - start)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .current("write", path) }
            start += count
        }
    }
}
