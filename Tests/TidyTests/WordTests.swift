import Testing

/// What must not stand in a source file (STYLE.md §1, §2, §6, §7).
struct Ban {
    var name: String
    /// Looked for in code only, or in comments and strings as well.
    var isCodeOnly = true
    /// Whether it holds for a path.
    var covers: (SourceFile) -> Bool = { $0.room != nil }
    var pattern: Regex<Substring>

    func violations(in file: SourceFile) -> [Violation] {
        guard covers(file) else { return [] }
        let lines = isCodeOnly ? file.codeLines : file.lines
        // The default kind takes `file.write` for one word.
        let pattern = pattern.wordBoundaryKind(.simple)
        return lines.enumerated().compactMap { index, line in
            line.contains(pattern) ? Violation(path: file.path, line: index + 1, what: name) : nil
        }
    }
}

enum Bans {
    /// Rooms built with strict memory safety.
    static let strictRooms: Set = [
        "LogEngine", "Groups", "JSON", "Backends", "Access", "GatewayAPI",
    ]
    /// The file of this very test names what it looks for.
    private static let everywhere: @Sendable (SourceFile) -> Bool = {
        !$0.path.hasPrefix("Tests/TidyTests/")
    }
    private static let outsideOfWiring: @Sendable (SourceFile) -> Bool = {
        $0.room != nil && $0.room != "Platform" && $0.room != "millrace"
    }
    private static let names = "Utils|Utilities|Common|Helpers?|Core|Managers?|Impl"

    static var all: [Ban] {
        [
            Ban(
                name: "work left for later", isCodeOnly: false, covers: everywhere,
                pattern: /\b(?:TODO|FIXME|XXX|HACK)\b/),
            Ban(name: "try!", covers: everywhere, pattern: /\btry!/),
            Ban(name: "fatalError", pattern: /\bfatalError\b/),
            Ban(name: "public", pattern: /\bpublic\b|\bopen\s+(?:class|func|var)\b/),
            Ban(
                name: "unsafe in a strict room",
                covers: { strictRooms.contains($0.room ?? "") }, pattern: /\b\w*[uU]nsafe\w*\b/),
            Ban(
                name: "a write or sync whose failure is swallowed",
                pattern:
                    /\btry\?[^;]*\b\w*(?:[wW]rite|[sS]ync|[fF]lush|rename|truncate|[aA]ppend)\w*\(/),
            Ban(
                name: "a clock of its own", covers: outsideOfWiring,
                pattern: /\b(?:ContinuousClock|SuspendingClock)\b|\bclock_gettime\b|\bTask\.sleep\b/
            ),
            Ban(
                name: "chance of its own", covers: outsideOfWiring,
                pattern: /\.random\(|\bSystemRandomNumberGenerator\b|\.shuffled?\(\)/),
            Ban(name: "@testable", covers: everywhere, pattern: /@testable\b/),
            Ban(
                name: "a name that says nothing", covers: everywhere,
                pattern:
                    /\b(?:struct|class|enum|actor|protocol)\s+(?:\w*(?:Utils|Utilities|Helpers?|Managers?|Impl)|Common|Core)\b/
            ),
        ]
    }

    /// `@unchecked Sendable` must be proved within the three lines above it.
    static func uncheckedViolations(in file: SourceFile) -> [Violation] {
        let (code, lines) = (file.codeLines, file.lines)
        return code.indices.compactMap { index in
            guard code[index].contains("@unchecked Sendable") else { return nil }
            let above = lines[max(0, index - 3)..<index]
            if above.contains(where: { $0.contains("// @unchecked: ") }) { return nil }
            return Violation(path: file.path, line: index + 1, what: "@unchecked without its proof")
        }
    }

    /// Folders and files need better names than these.
    static func nameViolations(in file: SourceFile) -> [Violation] {
        let parts = file.path.replacing(".swift", with: "").split(separator: "/")
        let bad = parts.filter { (try? Regex("^(?:\(names))$").wholeMatch(in: $0)) != nil }
        return bad.map { Violation(path: file.path, line: 0, what: "the name \($0) says nothing") }
    }
}

@Suite struct `Nothing stands in the sources that must not` {
    @Test func `words`() throws {
        let files = try Project.swiftFiles()
        let violations = Bans.all.flatMap { ban in files.flatMap { ban.violations(in: $0) } }
        #expect(violations.isEmpty, "\(violations)")
    }

    @Test func `unproved @unchecked`() throws {
        let violations = try Project.swiftFiles().flatMap(Bans.uncheckedViolations)
        #expect(violations.isEmpty, "\(violations)")
    }

    @Test func `names without a meaning`() throws {
        let violations = try Project.swiftFiles().flatMap(Bans.nameViolations)
        #expect(violations.isEmpty, "\(violations)")
    }

    @Test(arguments: [
        ("JSON", "// TODO: later"), ("JSON", "let text = \"FIXME\""), ("Groups", "a() // XXX"),
        ("Platform", "let a = try! b()"), ("millrace", "fatalError()"),
        ("JSON", "public struct A {}"),
        ("JSON", "open class A {}"), ("LogEngine", "unsafe a()"),
        ("JSON", "let p: UnsafeRawPointer"), ("Backends", "a.withUnsafeBytes { $0 }"),
        ("GatewayAPI", "@unsafe func a() {}"), ("Platform", "try? file.write(bytes)"),
        ("LogEngine", "_ = try? await disk.syncDirectory(path)"),
        ("HTTPServer", "let now = ContinuousClock.now"), ("Groups", "Int.random(in: 0..<9)"),
        ("Backends", "try await Task.sleep(for: .seconds(1))"),
        ("Backends", "final class TopicManager {}"), ("JSON", "enum Core {}"),
        ("JSON", "struct StringUtils {}"), ("JSON", "protocol ReaderImpl {}"),
    ])
    func `a planted word is found`(room: String, line: String) {
        let file = SourceFile(path: "Sources/\(room)/A.swift", text: "let a = 1\n\(line)\n")
        let found = Bans.all.flatMap { $0.violations(in: file) }
        #expect(found.map(\.line) == [2], "\(found)")
    }

    @Test(arguments: [
        ("JSON", "// no try! here, and nothing public"), ("JSON", "let text = \"unsafe\""),
        ("Platform", "unsafe a()"), ("Platform", "let now = ContinuousClock.now"),
        ("JSON", "let republic = 1"), ("LogEngine", "let size = try? file.size()"),
        ("JSON", "struct Score {}"), ("JSON", "for open in openFiles where open is A {}"),
    ])
    func `what only looks alike is not`(room: String, line: String) {
        let file = SourceFile(path: "Sources/\(room)/A.swift", text: line)
        #expect(Bans.all.flatMap { $0.violations(in: file) }.isEmpty)
    }

    @Test func `@unchecked is found without its proof and not with it`() {
        let bare = "final class A: @unchecked Sendable {}"
        let proved = "// @unchecked: one thread owns it.\n/// Two\n" + bare
        let far = "// @unchecked: one thread owns it.\n\n\n\n" + bare
        let count = { Bans.uncheckedViolations(in: SourceFile(path: "a", text: $0)).count }
        #expect(count(bare) == 1)
        #expect(count(far) == 1)
        #expect(count(proved) == 0)
    }

    @Test(arguments: [
        "Sources/Utils/A.swift", "Sources/JSON/Helpers/A.swift", "Sources/JSON/Core.swift",
    ])
    func `a planted name is found`(path: String) {
        #expect(Bans.nameViolations(in: SourceFile(path: path, text: "")).count == 1)
    }
}
