import Foundation
import Fuzzing
import Testing

/// The inputs that `Tests/fuzz` kept, through the same functions without libFuzzer: goal C8 of
/// RELIABILITY.md, and pitfall 51 (one bad request stops the server).
@Suite struct `Kept fuzzing inputs` {
    private static let corpus = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Fuzzing/Corpus")

    @Test(arguments: FuzzTarget.all.map(\.name))
    func `bring no contradiction`(name: String) async throws {
        let target = try #require(FuzzTarget.all.first { $0.name == name })
        let text = try String(
            contentsOf: Self.corpus.appending(path: "\(name).base64"), encoding: .utf8)
        let inputs = text.split(separator: "\n")
        #expect(!inputs.isEmpty)
        for (index, input) in inputs.enumerated() {
            let bytes = try [UInt8](#require(Data(base64Encoded: String(input))))
            do throws(Contradiction) { try await target.check(bytes) } catch {
                Issue.record("line \(index + 1): \(error)")
            }
        }
    }

    @Test func `are small, and each has its target`() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.corpus.path)
        #expect(Set(files) == Set(FuzzTarget.all.map { "\($0.name).base64" }))
        let sizes = try files.map {
            try Self.corpus.appending(path: $0).resourceValues(forKeys: [.fileSizeKey]).fileSize
                ?? 0
        }
        #expect(sizes.reduce(0, +) < 200 << 10)
    }
}
