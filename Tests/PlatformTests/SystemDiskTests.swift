import Foundation
import Platform
import Testing

/// The machine's own files, in a folder of each test's own.
struct SystemDiskTests {
    private static func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory
            .appending(path: "millrace-\(UUID().uuidString)").path()
        try SystemDisk().createDirectory(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    @Test func `what is written is read, from any position and up to the end`() throws {
        try Self.withFolder { folder in
            let disk = SystemDisk()
            let file = try disk.open(folder + "/a", .readWrite)
            let bytes = [UInt8](0..<200)
            try file.write(bytes.span, at: 0)
            try file.write(bytes.span, at: 1000)
            try file.sync()
            try disk.syncDirectory(folder)
            #expect(try file.byteCount() == 1200)
            var read: [UInt8] = [42]
            try file.read(into: &read, count: 500, at: 1100)
            #expect(read == [42] + bytes[100...])
            try file.truncate(to: 10)
            read = []
            try file.read(into: &read, count: 500, at: 0)
            #expect(read == Array(bytes.prefix(10)))
            try file.read(into: &read, count: 5, at: 99)
            #expect(read.count == 10)
        }
    }

    /// What was just written is in the page cache; some file systems cannot tell, and then say no.
    @Test func `a read that may not wait brings all or nothing`() throws {
        try Self.withFolder { folder in
            let file = try SystemDisk().open(folder + "/a", .readWrite)
            let bytes = [UInt8](repeating: 7, count: 100_000)
            try file.write(bytes.span, at: 0)
            var read: [UInt8] = [42]
            let isRead = try file.readIfCached(into: &read, count: 100_000, at: 0)
            #expect(read == (isRead ? [42] + bytes : [42]))
        }
    }

    @Test func `files are listed, renamed over others and removed`() throws {
        try Self.withFolder { folder in
            let disk = SystemDisk()
            for name in ["a", "b"] {
                let file = try disk.open(folder + "/" + name, .readWrite)
                let bytes = Array(name.utf8)
                try file.write(bytes.span, at: 0)
            }
            #expect(try Set(disk.list(folder)) == ["a", "b"])
            let held = try disk.open(folder + "/b", .read)
            try disk.rename(folder + "/a", to: folder + "/b")
            #expect(try disk.list(folder) == ["b"])
            try disk.remove(folder + "/b")
            #expect(!disk.exists(folder + "/b"))
            var read: [UInt8] = []
            try held.read(into: &read, count: 9, at: 0)
            #expect(read == Array("b".utf8), "who holds a removed file still reads it")
        }
    }

    @Test func `what is not there is said to be not there`() throws {
        try Self.withFolder { folder in
            do throws(DiskError) {
                _ = try SystemDisk().open(folder + "/absent", .read)
                Issue.record("opened")
            } catch {
                #expect(error.isNotFound)
                #expect("\(error)".contains(folder + "/absent"))
            }
            #expect(throws: DiskError.self) { try SystemDisk().list(folder + "/absent") }
            #expect(throws: DiskError.self) { try SystemDisk().remove(folder + "/absent") }
        }
    }

    @Test func `directories are made with their parents, and again without complaint`() throws {
        try Self.withFolder { folder in
            let disk = SystemDisk()
            try disk.createDirectory(folder + "/a/b/c")
            try disk.createDirectory(folder + "/a/b/c")
            #expect(disk.exists(folder + "/a/b/c"))
            try disk.removeDirectory(folder + "/a/b/c")
            #expect(throws: DiskError.self) { try disk.removeDirectory(folder + "/a") }
        }
    }

    /// Pitfall 29.
    @Test func `a second holder of a lock is refused at once, and not after the first has gone`()
        throws
    {
        try Self.withFolder { folder in
            var first: FileLock? = try FileLock(folder + "/lock")
            for _ in 0..<3 {
                do throws(DiskError) {
                    _ = try FileLock(folder + "/lock")
                    Issue.record("locked twice")
                } catch {
                    #expect(error.isLocked)
                }
            }
            #expect(first != nil)
            first = nil
            _ = try FileLock(folder + "/lock")
        }
    }
}
