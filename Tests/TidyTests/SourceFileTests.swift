import Testing

@Suite struct `Blanking` {
    @Test(arguments: [
        ("let a = 1 // try!", "let a = 1        "),
        ("a /* { /* x */ } */ b", "a                   b"),
        ("f(\"}\") {", "f(   ) {"),
        ("f(\"\\\"}\") {", "f(     ) {"),
        ("f(#\"\"}\"#) {", "f(      ) {"),
        ("\"\"\"\n}\n\"\"\" {", "   \n \n    {"),
        ("\"\\(a(\"}\"))\" {", "            {"),
        ("\"open\n}", "     \n}"),
    ])
    func `takes comments and strings away and keeps every line`(text: String, code: String) {
        #expect(blanked(text) == code)
    }

    @Test func `the room is the folder below Sources`() {
        #expect(SourceFile(path: "Sources/JSON/Scan.swift", text: "").room == "JSON")
        #expect(SourceFile(path: "Tests/JSONTests/ScanTests.swift", text: "").room == nil)
    }

    @Test func `the project is found, so that no rule passes for want of files`() throws {
        let files = try Project.swiftFiles()
        #expect(files.count > 50)
        #expect(files.contains { $0.path == "Sources/Backends/Seam/Backend.swift" })
        #expect(files.contains { $0.path == "Package.swift" })
    }
}
