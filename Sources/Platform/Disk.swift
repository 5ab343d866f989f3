/// A failed file operation: what was tried, on which path, and the system's errno.
package struct DiskError: Error, Equatable, Sendable {
    package var operation: String
    package var path: String
    package var code: Int32

    package init(operation: String, path: String, code: Int32) {
        self.operation = operation
        self.path = path
        self.code = code
    }
}

package enum OpenMode: Sendable {
    /// Must exist.
    case read
    /// Created if absent; read and written.
    case readWrite
}

/// The file system as the log sees it; tests put a simulated one in its place.
package protocol Disk: Sendable {
    func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile
    /// Names in a directory, in no order.
    func list(_ directory: String) throws(DiskError) -> [String]
    func exists(_ path: String) -> Bool
    /// With its parents; not an error when it is there.
    func createDirectory(_ path: String) throws(DiskError)
    func rename(_ from: String, to: String) throws(DiskError)
    func remove(_ path: String) throws(DiskError)
    /// An empty directory.
    func removeDirectory(_ path: String) throws(DiskError)
    /// Makes creations, renames and removals in the directory durable.
    func syncDirectory(_ path: String) throws(DiskError)
}

/// An open file. Thread-safe; closed when the last reference goes.
package protocol DiskFile: AnyObject, Sendable {
    func byteCount() throws(DiskError) -> Int64
    /// Writes all of `bytes`, or throws having written any prefix of them.
    func write(_ bytes: Span<UInt8>, at position: Int64) throws(DiskError)
    /// Appends up to `count` bytes from `position` to `bytes`; fewer only at the end of the file.
    func read(into bytes: inout [UInt8], count: Int, at position: Int64) throws(DiskError)
    /// The same without waiting for the disk: false, with nothing appended, where it would.
    func readIfCached(into bytes: inout [UInt8], count: Int, at position: Int64)
        throws(DiskError) -> Bool
    /// fdatasync: returns once the content and its length would survive a power cut.
    func sync() throws(DiskError)
    func truncate(to byteCount: Int64) throws(DiskError)
}
