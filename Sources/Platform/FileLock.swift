import Glibc

/// Keeps a directory to one process, by flock(2) on a file in it; the kernel lets go when the
/// process ends, however it ends. A second holder in the same process is refused, too.
package final class FileLock: Sendable {
    private let descriptor: Int32

    /// Creates the file if absent. Throws at once, with `isLocked`, where another holds the lock.
    package init(_ path: String) throws(DiskError) {
        // A local until all is well: once the property is set, a throw runs `deinit`, and the
        // second close would hit whatever file another thread has opened meanwhile.
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw .current("open", path) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let error = DiskError.current("flock", path)
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }
}
