import Foundation

/// A file of the project: its path from the top, and its text.
struct SourceFile {
    let path: String
    let lines: [Substring]
    /// The lines with comments and the contents of string literals blanked out.
    let codeLines: [Substring]

    init(path: String, text: String) {
        self.path = path
        lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        codeLines = blanked(text).split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// Lines as an editor counts them: a line feed at the end begins no further one.
    var lineCount: Int { lines.last == "" ? lines.count - 1 : lines.count }

    /// `Backends` for `Sources/Backends/Seam/Backend.swift`; nil outside `Sources`.
    var room: String? {
        let parts = path.split(separator: "/")
        return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
    }

    var isTest: Bool { path.hasPrefix("Tests/") }
}

/// A broken rule, as the test shows it.
struct Violation: CustomStringConvertible {
    var path: String
    /// Counted from 1; 0 for the file as a whole.
    var line: Int
    var what: String

    var description: String { "\(path):\(line): \(what)" }
}

/// The project on disk.
enum Project {
    private static let top = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    private static let read = Result { try readSwiftFiles() }

    /// Every Swift file under `Sources`, `Tests`, and `Package.swift`, read once.
    static func swiftFiles() throws -> [SourceFile] { try read.get() }

    private static func readSwiftFiles() throws -> [SourceFile] {
        try ["Sources", "Tests"].flatMap(files) + [try file("Package.swift")]
    }

    private static func files(under folder: String) throws -> [SourceFile] {
        let names = FileManager.default.subpaths(atPath: top.appending(path: folder).path()) ?? []
        return try names.sorted().filter { $0.hasSuffix(".swift") }.map {
            try file("\(folder)/\($0)")
        }
    }

    static func file(_ path: String) throws -> SourceFile {
        let text = try String(contentsOf: top.appending(path: path), encoding: .utf8)
        return SourceFile(path: path, text: text)
    }
}

/// The text with every byte of comments and of string contents, but line feeds, made a space. Knows
/// `//`, nested `/* */`, `"…"`, `"""…"""` and their `#` forms; code inside `\(…)` counts as string.
func blanked(_ text: String) -> String {
    let bytes = Array(text.utf8)
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var at = 0
    while at < bytes.count {
        let end = endOfBlank(bytes, at)
        if end == at {
            result.append(bytes[at])
            at += 1
        } else {
            result += bytes[at..<end].map { $0 == UInt8(ascii: "\n") ? $0 : UInt8(ascii: " ") }
            at = end
        }
    }
    return String(decoding: result, as: UTF8.self)
}

/// Where the comment or string that begins at `start` ends; `start` itself where none does.
private func endOfBlank(_ bytes: [UInt8], _ start: Int) -> Int {
    if has(bytes, start, "//") {
        return bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
    }
    if has(bytes, start, "/*") { return endOfComment(bytes, start) }
    var quote = start
    while has(bytes, quote, "#") { quote += 1 }
    guard has(bytes, quote, "\"") else { return start }
    let hashes = String(repeating: "#", count: quote - start)
    let isLong = has(bytes, quote, "\"\"\"")
    let delimiter = (isLong ? "\"\"\"" : "\"") + hashes
    let escape = "\\" + hashes
    var at = quote + (isLong ? 3 : 1)
    while at < bytes.count, !has(bytes, at, delimiter) {
        if !isLong, has(bytes, at, "\n") { return at }
        if has(bytes, at, escape + "(") {
            at = endOfInterpolation(bytes, at + escape.utf8.count)
        } else {
            at += has(bytes, at, escape) ? escape.utf8.count + 1 : 1
        }
    }
    return min(bytes.count, at + delimiter.utf8.count)
}

private func endOfComment(_ bytes: [UInt8], _ start: Int) -> Int {
    var depth = 0
    var at = start
    repeat {
        if has(bytes, at, "/*") {
            depth += 1
            at += 2
        } else if has(bytes, at, "*/") {
            depth -= 1
            at += 2
        } else {
            at += 1
        }
    } while depth > 0 && at < bytes.count
    return min(at, bytes.count)
}

/// Behind the parenthesis that closes the one at `start`, strings within it passed over.
private func endOfInterpolation(_ bytes: [UInt8], _ start: Int) -> Int {
    var depth = 0
    var at = start
    repeat {
        if has(bytes, at, "(") { depth += 1 }
        if has(bytes, at, ")") { depth -= 1 }
        let end = endOfBlank(bytes, at)
        at = end == at ? at + 1 : end
    } while depth > 0 && at < bytes.count
    return at
}

private func has(_ bytes: [UInt8], _ at: Int, _ text: String) -> Bool {
    at < bytes.count && bytes[at...].starts(with: text.utf8)
}
