import Glibc

/// Holds a directory for this process alone: an exclusive `flock(2)` on a file in it.
///
/// The kernel lets go of it when the process ends, however it ends, so a file left by a crash locks
/// nothing. The file stays: removing it would let two processes lock two files of one name.
package final class DirectoryLock: Sendable {
    private let descriptor: Int32

    /// Fails at once, with EWOULDBLOCK, where another process (or another lock here) has it.
    package init(_ path: String) throws(DiskError) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw DiskError(operation: "open", path: path, code: errno)
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(descriptor)
            throw DiskError(operation: "flock", path: path, code: code)
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }
}

extension DiskError {
    /// Somebody else holds the lock.
    package var isLockedElsewhere: Bool { operation == "flock" && code == EWOULDBLOCK }
    /// No space, or a quota is used up.
    package var isStorageFull: Bool { code == ENOSPC || code == EDQUOT }
    /// There is no such file or directory.
    package var isNotFound: Bool { code == ENOENT }

    /// Operation, path and the system's words, for an operator.
    package var explanation: String {
        "\(operation) \(path): \(strerror(code).map { String(cString: $0) } ?? "errno \(code)")"
    }
}
