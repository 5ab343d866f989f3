import Foundation

/// Vectors that may not be copied into the project: found where the workplace keeps them, and
/// tests that need them skip where they are absent.
package enum SharedTestData {
    /// The folder `shared/testdata`, or what MILLRACE_TESTDATA names; nil where there is none.
    package static let directory: String? = {
        let repository = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let beside = repository.deletingLastPathComponent().appending(path: "shared/testdata")
            .path()
        let candidates = [ProcessInfo.processInfo.environment["MILLRACE_TESTDATA"], beside]
        return candidates.compactMap { $0 }.first { FileManager.default.fileExists(atPath: $0) }
    }()

    package static var isPresent: Bool { directory != nil }

    /// The files of a folder in it, by name; empty where the folder is absent.
    package static func files(_ folder: String) -> [(name: String, bytes: [UInt8])] {
        guard let directory else { return [] }
        let path = directory + "/" + folder
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return names.sorted().compactMap { name in
            FileManager.default.contents(atPath: path + "/" + name).map { (name, [UInt8]($0)) }
        }
    }
}
