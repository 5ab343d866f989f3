import Glibc

/// What a room that does not know `errno` asks about a failed file operation.
extension DiskError {
    /// The failure the C library has just reported.
    static func current(_ operation: String, _ path: String) -> DiskError {
        DiskError(operation: operation, path: path, code: errno)
    }

    /// ENOSPC or EDQUOT: may succeed later, when there is space.
    package var isStorageFull: Bool { code == ENOSPC || code == EDQUOT }
    /// EMFILE, ENFILE or ENOMEM: says nothing about the disk, and may succeed in a moment.
    package var isPassing: Bool { code == EMFILE || code == ENFILE || code == ENOMEM }
    package var isNotFound: Bool { code == ENOENT }
    /// Another process holds the lock.
    package var isLocked: Bool { code == EWOULDBLOCK }

    /// For tests and for disks that are not the machine's own.
    package static func noSpace(_ operation: String, _ path: String) -> DiskError {
        DiskError(operation: operation, path: path, code: ENOSPC)
    }
    package static func inputOutput(_ operation: String, _ path: String) -> DiskError {
        DiskError(operation: operation, path: path, code: EIO)
    }
    package static func notFound(_ operation: String, _ path: String) -> DiskError {
        DiskError(operation: operation, path: path, code: ENOENT)
    }
}

extension DiskError: CustomStringConvertible {
    /// In words for an operator: `fdatasync of /data/…/0.log: Input/output error (errno 5)`.
    package var description: String {
        var buffer = [CChar](repeating: 0, count: 128)
        let words = buffer.withUnsafeMutableBufferPointer { buffer in
            guard strerror_r(code, buffer.baseAddress!, buffer.count) == 0 else { return "error" }
            return String(cString: buffer.baseAddress!)
        }
        return "\(operation) of \(path): \(words) (errno \(code))"
    }
}
