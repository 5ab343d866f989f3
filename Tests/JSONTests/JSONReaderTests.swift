import JSON
import TestSupport
import Testing

@Suite struct `JSON reader` {
    @Test(arguments: [
        "null", " true ", "-0", "0", "10.5e-3", "1E400", "\"\"", "\"\\u0000\\\"\\/\"", "[]", "{}",
        "[[],{}]",
        "{\"a\":1,\"a\":2}", "\t[1 , 2]\n", "\"\\ud800\"", "\"ÿ𝄞\"",
    ])
    func `a text of the grammar is taken on every path`(text: String) {
        #expect(verdicts(Array(text.utf8)) == [true])
    }

    @Test(arguments: [
        "", " ", "nul", "nulll", "True", "01", "-", "1.", ".5", "1e", "+1", "0x1", "NaN", "\"",
        "\"\\x\"",
        "\"\\u12g4\"", "\"\u{1}\"", "[1,]", "[,1]", "[1 2]", "[", "{\"a\"}", "{\"a\":}",
        "{\"a\":1,}", "{a:1}",
        "{1:1}", "1 2", "[1]]", "'a'", "\u{FEFF}1", "[1}", "/**/1",
    ])
    func `a text outside the grammar is refused on every path`(text: String) {
        #expect(verdicts(Array(text.utf8)) == [false])
    }

    @Test(
        arguments: [
            [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
            [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22],
            [0x22, 0xE2, 0x82, 0x22], [0x22, 0xFF, 0x22], [0x22, 0x80, 0x22],
        ] as [[UInt8]])
    func `a string that is not UTF-8 is refused`(bytes: [UInt8]) {
        #expect(verdicts(bytes) == [false])
        #expect(!isUTF8(bytes[...]))
    }

    @Test(arguments: [
        ("[1,x]", 3), ("{\"a\":tru}", 8), ("\"abc\\q\"", 5), ("[1,2", 4), ("1 x", 2), ("01", 1),
        ("\"a\nb\"", 2),
    ])
    func `an error names the first byte that cannot be right`(text: String, position: Int) {
        #expect(failure(text)?.position == position)
    }

    @Test func `nesting ends at its limit and not at the end of the stack`() {
        let deepest =
            String(repeating: "[", count: Limits.depth)
            + String(repeating: "]", count: Limits.depth)
        #expect(failure(deepest) == nil)
        #expect(failure("[" + deepest + "]") == JSONError(.tooDeep, at: Limits.depth))
        #expect(failure(String(repeating: "[{\"a\":", count: 100_000))?.reason == .tooDeep)
        #expect(failure(String(repeating: "{\"a\":", count: 100_000))?.reason == .tooDeep)
    }

    @Test func `a value has the same depth to spare in a batch as by itself`() throws {
        let deepest =
            String(repeating: "[", count: Limits.depth)
            + String(repeating: "]", count: Limits.depth)
        var reader = JSONReader(Array("{\"records\":[{\"value\":\(deepest)}]}".utf8))
        try reader.beginObject()
        _ = try reader.nextMember()
        try reader.beginArray()
        #expect(try reader.nextElement())
        try reader.beginObject()
        _ = try reader.nextMember()
        #expect(try reader.skipValue().count == deepest.utf8.count)
    }

    @Test func `a level of an object is told from one of an array at every depth`() {
        for depth in [1, 63, 64, 65, 127, 128, 129, Limits.depth] {
            let open = (0..<depth).map { $0 % 3 == 0 ? "{\"a\":" : "[" }.joined()
            let close = (0..<depth).reversed().map { $0 % 3 == 0 ? "}" : "]" }.joined()
            let wrong = (0..<depth).reversed().map { $0 % 3 == 0 ? "]" : "}" }.joined()
            #expect(failure(open + "1" + close) == nil)
            #expect(failure(open + "1" + wrong)?.position == open.utf8.count + 1)
        }
    }

    @Test func `a value is given as it stands, with its white space and digits`() throws {
        let text = Array("{ \"v\" : {\"n\": 1.10 , \"n\":2} , \"w\":3}".utf8)
        var reader = JSONReader(text)
        try reader.beginObject()
        let name = try #require(try reader.nextMember())
        #expect(reader.matches(name, "v"))
        let value = try reader.skipValue()
        #expect(String(decoding: text[value], as: UTF8.self) == "{\"n\": 1.10 , \"n\":2}")
        let second = try #require(try reader.nextMember())
        #expect(!reader.matches(second, "v"))
        #expect(try reader.readInt64() == 3)
        #expect(try reader.nextMember() == nil)
        try reader.end()
    }

    @Test func `nested objects and arrays can be read in turn`() throws {
        var reader = JSONReader(Array("[{},[],{\"a\":[1,2]},4]".utf8))
        try reader.beginArray()
        var kinds: [JSONKind] = []
        while try reader.nextElement() {
            kinds.append(try reader.peek())
            if kinds.last == .object {
                try reader.beginObject()
                while try reader.nextMember() != nil {
                    try reader.beginArray()
                    while try reader.nextElement() { _ = try reader.readInt64() }
                }
            } else {
                _ = try reader.skipValue()
            }
        }
        try reader.end()
        #expect(kinds == [.object, .array, .object, .number])
    }

    @Test func `a name written with escapes is the same name`() throws {
        var reader = JSONReader(Array("{\"\\u0076alue\":1}".utf8))
        try reader.beginObject()
        let name = try #require(try reader.nextMember())
        #expect(reader.matches(name, "value"))
        #expect(!reader.matches(name, "valu"))
        #expect(!reader.matches(name, "values"))
    }

    @Test(arguments: [
        ("\\ud834\\udd1e", "𝄞", true), ("\\ud834", "𝄞", false), ("\\ud834", "\u{FFFD}", false),
        ("", "", true),
        ("\\u0000", "\0", true), ("é", "e\u{301}", false), ("e\u{301}", "é", false),
        ("a", "A", false),
    ])
    func `a name is compared byte for byte and not as Unicode would`(
        name: String, other: String, isSame: Bool
    ) throws {
        var reader = JSONReader(Array("\"\(name)\"".utf8))
        let string = try reader.readString()
        #expect(reader.matches(string, other) == isSame)
    }

    @Test func `only the range given is read, and positions are of the whole`() throws {
        let bytes = Array("xx[1,2]]".utf8)
        var reader = JSONReader(bytes, in: 2..<7)
        #expect(try reader.skipValue() == 2..<7)
        try reader.end()
        var cut = JSONReader(bytes, in: 2..<5)
        #expect(throws: JSONError(.unexpectedEnd, at: 5)) { try cut.skipValue() }
        #expect(isJSON(bytes, in: 3..<4))
        #expect(!isJSON(bytes, in: 2..<2))
    }

    @Test(arguments: [("[1]", 0), (" 1", 1), ("\"1\"", 0), ("true", 0)])
    func `a value of another kind is named where it begins, and not taken`(
        text: String, position: Int
    ) {
        var reader = JSONReader(Array(text.utf8))
        #expect(throws: JSONError(.wrongKind, at: position)) {
            if text == " 1" { _ = try reader.readString() } else { _ = try reader.readInt64() }
        }
        #expect(throws: Never.self) { try reader.skipValue() }
    }

    @Test(arguments: [
        ("0", 0), ("-0", 0), ("9223372036854775807", Int64.max),
        ("-9223372036854775808", Int64.min),
    ])
    func `an integer is read exactly`(text: String, value: Int64) throws {
        var reader = JSONReader(Array(text.utf8))
        #expect(try reader.readInt64() == value)
    }

    @Test(arguments: [
        "1.0", "1e2", "-0.0", "9223372036854775808", "-9223372036854775809",
        "18446744073709551616", "100000000000000000000000000000000000000000",
    ])
    func `a number that is no integer of 64 bits is not rounded`(text: String) {
        var reader = JSONReader(Array(text.utf8))
        #expect(throws: JSONError(.notAnInteger, at: 0)) { try reader.readInt64() }
    }

    @Test func `escapes decode to UTF-8, pairs of surrogates to one character`() throws {
        var reader = JSONReader(
            Array("\"\\b\\f\\n\\r\\t\\\"\\\\\\/\\u00e9\\u20ac\\ud834\\udd1e\"".utf8))
        let string = try reader.readString()
        #expect(try reader.text(string) == "\u{8}\u{C}\n\r\t\"\\/é€𝄞")
    }

    @Test(arguments: ["\\ud800", "\\udc00", "\\ud800\\ud800", "\\ud800x", "\\udc00\\ud800"])
    func `half a pair is no text, though it may stay in a value`(escape: String) throws {
        let text = Array("\"\(escape)\"".utf8)
        #expect(isJSON(text, in: 0..<text.count))
        var reader = JSONReader(text)
        let string = try reader.readString()
        #expect(throws: JSONError.self) { try reader.decode(string) }
    }
}

@Suite(.enabled(if: SharedTestData.isPresent, "shared/testdata is absent"))
struct `JSONTestSuite` {
    /// What we decided where the RFC leaves it open; the name says the case, the value our verdict.
    private static let accepted: Set<String> = [
        "i_number_double_huge_neg_exp", "i_number_huge_exp", "i_number_neg_int_huge_exp",
        "i_number_pos_double_huge_exp", "i_number_real_neg_overflow", "i_number_real_pos_overflow",
        "i_number_real_underflow", "i_number_too_big_neg_int", "i_number_too_big_pos_int",
        "i_number_very_big_negative_int", "i_object_key_lone_2nd_surrogate",
        "i_string_1st_surrogate_but_2nd_missing", "i_string_1st_valid_surrogate_2nd_invalid",
        "i_string_incomplete_surrogate_and_escape_valid", "i_string_incomplete_surrogate_pair",
        "i_string_incomplete_surrogates_escape_valid", "i_string_invalid_lonely_surrogate",
        "i_string_invalid_surrogate", "i_string_inverted_surrogates_U+1D11E",
        "i_string_lone_second_surrogate", "i_structure_500_nested_arrays",
    ]

    @Test func `all 318 parsing cases have the verdict they ask for`() {
        var counts = ["y": 0, "n": 0, "i": 0]
        for (name, bytes) in SharedTestData.files("JSONTestSuite/test_parsing") {
            let kind = String(name.prefix(1))
            counts[kind, default: 0] += 1
            let isAccepted = kind == "y" || Self.accepted.contains(String(name.dropLast(5)))
            #expect(verdicts(bytes) == [isAccepted], "\(name)")
        }
        #expect(counts == ["y": 95, "n": 188, "i": 35])
    }

    @Test func `the 22 transform cases keep every byte of what they hold`() throws {
        let files = SharedTestData.files("JSONTestSuite/test_transform")
        #expect(files.count == 22)
        for (name, bytes) in files {
            // Three hold surrogates encoded as UTF-8, which is none.
            if name.contains("invalid_codepoint"), !name.contains("escaped") {
                #expect(failure(bytes) == JSONError(.badUTF8, at: 3), "\(name)")
                continue
            }
            var reader = JSONReader(bytes)
            let value = try reader.skipValue()
            var writer = JSONWriter()
            writer.raw(bytes[value])
            #expect(writer.bytes == Array(bytes[value]), "\(name)")
        }
    }
}
