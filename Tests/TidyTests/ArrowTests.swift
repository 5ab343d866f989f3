import Testing

/// Which modules each room may import (STYLE.md §1). What is not named here is forbidden.
enum Arrows {
    static let table: [String: Set<String>] = [
        "Platform": ["CPlatform", "CZlib", "Crypto", "Glibc", "Synchronization"],
        "JSON": [],
        "Groups": [],
        "LogEngine": ["Platform", "Logging", "Synchronization"],
        "HTTPServer": ["Platform", "CPlatform", "CNghttp2", "Logging", "Synchronization"],
        "Backends": ["Platform", "LogEngine", "Groups", "JSON", "Logging", "Synchronization"],
        "Access": ["Platform", "JSON", "Crypto", "JWTKit", "Synchronization"],
        "GatewayAPI": [
            "Platform", "Backends", "HTTPServer", "JSON", "Access", "Logging", "Synchronization",
        ],
        "millrace": [
            "Platform", "JSON", "Groups", "LogEngine", "HTTPServer", "Backends", "Access",
            "GatewayAPI",
            "Logging", "ArgumentParser", "Synchronization",
            // The program's own process: signals, children of the bench, its files.
            "Glibc",
        ],
    ]

    /// Folders that may import what their room else may not.
    static let folders: [String: Set<String>] = ["Sources/HTTPServer/Sockets/": ["Glibc"]]

    static func violations(in file: SourceFile) -> [Violation] {
        guard let room = file.room else { return [] }
        guard var allowed = table[room] else {
            return [
                Violation(path: file.path, line: 0, what: "the room \(room) is not in the table")
            ]
        }
        for (folder, more) in folders where file.path.hasPrefix(folder) { allowed.formUnion(more) }
        return file.codeLines.enumerated().compactMap { index, line in
            guard let module = importedModule(line), !allowed.contains(module) else { return nil }
            return Violation(
                path: file.path, line: index + 1, what: "\(room) must not import \(module)")
        }
    }

    /// `Platform` for `package import struct Platform.Instant`; nil where the line imports nothing.
    static func importedModule(_ line: Substring) -> String? {
        let match = line.firstMatch(
            of:
                /^\s*(?:@\w+(?:\(\w+\))?\s+)*(?:(?:package|public|internal|fileprivate|private)\s+)?import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)/
        )
        return match.map { String($0.1) }
    }
}

@Suite struct `Imports point one way` {
    @Test func `in every room`() throws {
        let violations = try Project.swiftFiles().flatMap(Arrows.violations)
        #expect(violations.isEmpty, "\(violations)")
    }

    @Test func `and every room is in the table`() throws {
        let rooms = Set(try Project.swiftFiles().compactMap(\.room))
        #expect(rooms == Set(Arrows.table.keys))
    }

    @Test(arguments: [
        ("Sources/JSON/A.swift", "import Platform"),
        ("Sources/Groups/A.swift", "import Synchronization"),
        ("Sources/LogEngine/A.swift", "package import HTTPServer"),
        ("Sources/HTTPServer/A.swift", "import Glibc"),
        ("Sources/HTTPServer/A.swift", "@preconcurrency import LogEngine"),
        ("Sources/Backends/A.swift", "import struct HTTPServer.Response"),
        ("Sources/GatewayAPI/A.swift", "  import LogEngine"),
        ("Sources/GatewayAPI/A.swift", "import Yams"),
        ("Sources/GatewayAPI/A.swift", "import Crypto"),
        ("Sources/Access/A.swift", "import HTTPServer"),
        ("Sources/Platform/A.swift", "import Foundation"),
        ("Sources/millrace/A.swift", "import Dispatch"),
        ("Sources/millrace/A.swift", "@_exported import Foundation"),
        ("Sources/Utilities/A.swift", "let a = 1"),
    ])
    func `a planted import is found`(path: String, line: String) {
        let file = SourceFile(path: path, text: "// first\n\(line)\n")
        #expect(Arrows.violations(in: file).count == 1)
    }

    @Test(arguments: [
        ("Sources/HTTPServer/Sockets/A.swift", "import Glibc"),
        ("Sources/Backends/A.swift", "package import LogEngine"),
        ("Sources/JSON/A.swift", "// import Platform"),
        ("Sources/JSON/A.swift", "let importance = 1"),
        ("Tests/JSONTests/A.swift", "import Foundation"),
    ])
    func `what is allowed is not`(path: String, line: String) {
        #expect(Arrows.violations(in: SourceFile(path: path, text: line)).isEmpty)
    }
}
