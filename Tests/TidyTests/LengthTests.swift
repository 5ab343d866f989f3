import Testing

/// Limits of size (STYLE.md §2).
enum Lengths {
    static let file = 450
    static let testFile = 600
    static let function = 60
    static let line = 100
    static let page = 60

    static func fileViolations(in file: SourceFile) -> [Violation] {
        let limit = file.isTest ? testFile : Self.file
        guard file.lineCount > limit else { return [] }
        let what = "\(file.lineCount) lines, \(limit) are the limit"
        return [Violation(path: file.path, line: 0, what: what)]
    }

    /// What is wrong with a room's page; nil where nothing is.
    static func pageProblem(_ room: String, _ file: SourceFile?) -> String? {
        guard let file, file.lineCount > 0 else { return "\(room) has no page" }
        return file.lineCount > page ? "the page of \(room) has \(file.lineCount) lines" : nil
    }

    static func lineViolations(in file: SourceFile) -> [Violation] {
        file.lines.enumerated().compactMap { index, line in
            // Vectors and regular expressions of tests are not broken.
            let limit = file.path.hasPrefix("Tests/") ? 180 : Self.line
            guard line.count > limit else { return nil }
            return Violation(path: file.path, line: index + 1, what: "\(line.count) columns")
        }
    }

    static func functionViolations(in file: SourceFile) -> [Violation] {
        functions(in: file.codeLines).compactMap { start, end in
            guard end - start + 1 > function else { return nil }
            return Violation(
                path: file.path, line: start + 1, what: "a function of \(end - start + 1) lines")
        }
    }

    /// First and last line, counted from 0, of each function, initialiser, deinitialiser and
    /// subscript.
    static func functions(in lines: [Substring]) -> [(start: Int, end: Int)] {
        lines.indices.compactMap { index in
            let declaration =
                /^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:[a-z]+(?:\(\w+\))?\s+)*(?:func\s|init[?!]?\s*[<(]|deinit\b|subscript\s*[<(])/
            guard lines[index].contains(declaration), let body = body(lines, from: index) else {
                return nil
            }
            return (index, body)
        }
    }

    /// The last line of the body that belongs to the declaration; nil where it has none, as in a
    /// protocol.
    private static func body(_ lines: [Substring], from start: Int) -> Int? {
        var parentheses = 0
        var braces = 0
        for index in start..<lines.count {
            let text = lines[index].drop { $0 == " " }
            if index > start, braces == 0, parentheses == 0, !continues(text) { return nil }
            for character in lines[index] {
                switch character {
                case "(", "[": parentheses += 1
                case ")", "]": parentheses -= 1
                case "{": braces += 1
                case "}":
                    if braces == 0 { return nil }
                    braces -= 1
                    if braces == 0, parentheses == 0 { return index }
                default: break
                }
            }
        }
        return nil
    }

    /// Whether a line goes on with the declaration above it.
    private static func continues(_ text: Substring) -> Bool {
        ["{", "->", "where", "async", "throws", ")"].contains { text.hasPrefix($0) }
    }
}

@Suite struct `Everything fits on its page` {
    @Test func `files`() throws {
        let violations = try Project.swiftFiles().flatMap(Lengths.fileViolations)
        #expect(violations.isEmpty, "\(violations)")
    }

    @Test func `lines`() throws {
        let violations = try Project.swiftFiles().flatMap(Lengths.lineViolations)
        #expect(violations.isEmpty, "\(violations)")
    }

    @Test func `functions`() throws {
        let files = try Project.swiftFiles()
        let violations = files.flatMap(Lengths.functionViolations)
        #expect(violations.isEmpty, "\(violations)")
        #expect(files.flatMap { Lengths.functions(in: $0.codeLines) }.count > 300)
    }

    @Test(arguments: [("Sources/JSON/A.swift", 450), ("Tests/JSONTests/A.swift", 600)])
    func `a file one line too long is found and one at the limit is not`(path: String, limit: Int) {
        let text = String(repeating: "let a = 1\n", count: limit)
        #expect(Lengths.fileViolations(in: SourceFile(path: path, text: text)).isEmpty)
        #expect(Lengths.fileViolations(in: SourceFile(path: path, text: text + "a")).count == 1)
    }

    @Test func `a line of 101 columns is found, counted in characters and not in bytes`() {
        let text = String(repeating: "é", count: 100)
        #expect(Lengths.lineViolations(in: SourceFile(path: "a", text: text)).isEmpty)
        #expect(Lengths.lineViolations(in: SourceFile(path: "a", text: text + "e")).count == 1)
    }

    @Test(arguments: [
        "func f() {", "    package static func f<T>(_ a: T) async throws(E) -> Int {",
        "init?(a: Int) {", "deinit {", "subscript(index: Int) -> Int {",
        "@inline(__always) mutating func f(\n_ a: () -> Void = {}\n) {",
    ])
    func `a function of 61 lines is found and one of 60 is not`(head: String) {
        let inside = 60 - head.split(separator: "\n").count - 1
        let body = String(repeating: "if a { b() }\n", count: inside)
        let fitting = SourceFile(path: "a", text: "struct S {\n\(head)\n\(body)}\n}\n")
        let tooLong = SourceFile(path: "a", text: "struct S {\n\(head)\n\(body)a()\n}\n}\n")
        #expect(Lengths.functions(in: fitting.codeLines).count == 1)
        #expect(Lengths.functionViolations(in: fitting).isEmpty)
        #expect(Lengths.functionViolations(in: tooLong).count == 1)
    }

    @Test func `a requirement of a protocol has no body, and takes none from what follows`() {
        let text = "protocol P {\nfunc f(\n_ a: Int\n) throws\nvar a: Int { get }\nfunc g()\n}\n"
        let file = SourceFile(path: "a", text: text)
        #expect(Lengths.functions(in: file.codeLines).isEmpty)
    }
}

@Suite struct `Each room has its page` {
    @Test func `of sixty lines at most`() throws {
        for room in Arrows.table.keys.sorted() {
            let page = try? Project.file("Sources/\(room)/\(room).docc/\(room).md")
            #expect(Lengths.pageProblem(room, page) == nil)
        }
    }

    @Test func `one that is absent, empty or too long is found`() {
        let page = { SourceFile(path: "a.md", text: $0) }
        #expect(Lengths.pageProblem("JSON", nil) != nil)
        #expect(Lengths.pageProblem("JSON", page("")) != nil)
        #expect(Lengths.pageProblem("JSON", page(String(repeating: "a\n", count: 60))) == nil)
        #expect(Lengths.pageProblem("JSON", page(String(repeating: "a\n", count: 61))) != nil)
    }
}
