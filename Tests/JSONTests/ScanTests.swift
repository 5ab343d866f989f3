import JSON
import TestSupport
import Testing

@Suite struct `Scanning` {
    /// Strings are scanned eight bytes at a time: every byte at every place of such a step.
    @Test(arguments: 0..<20)
    func `a byte that is not plain is seen wherever it stands`(place: Int) {
        let before = [UInt8](repeating: 0x61, count: place)
        let behind = [UInt8](repeating: 0x62, count: 19 - place)
        for byte in UInt8.min...UInt8.max {
            let error = failure([0x22] + before + [byte] + behind + [0x22])
            switch byte {
            case 0x22: #expect(error == JSONError(.trailingBytes, at: place + 2))
            case 0x5C: #expect((error == nil) == (place < 19))
            case ..<0x20: #expect(error == JSONError(.controlByte, at: place + 1))
            case ..<0x80: #expect(error == nil)
            case 0xC2...0xF4: #expect(error == JSONError(.badUTF8, at: place + 2))
            default: #expect(error == JSONError(.badUTF8, at: place + 1))
            }
            #expect(isUTF8((before + [byte] + behind)[...]) == (byte < 0x80))
        }
    }

    /// Neighbours of the special bytes, where a carry between lanes would show.
    @Test func `bytes beside a special one are not taken for it`() throws {
        let near: [UInt8] = [
            0x00, 0x1F, 0x20, 0x21, 0x22, 0x23, 0x5B, 0x5C, 0x5D, 0x7E, 0x7F, 0x0A, 0x61,
        ]
        var random = SeededRandom(seed: 3)
        for round in 0..<5_000 {
            let value = (0..<round % 25).map { _ in near[random.below(near.count)] }
            var writer = JSONWriter()
            writer.string(utf8: value[...])
            var reader = JSONReader(writer.bytes)
            let string = try reader.readString()
            try reader.end()
            #expect(try reader.decode(string) == value)
            #expect(reader.matches(string, String(decoding: value, as: UTF8.self)))
            #expect(!writer.bytes.contains { $0 < 0x20 || $0 == 0x7F })
            let quotes = value.count { $0 < 0x20 || $0 == 0x22 || $0 == 0x5C || $0 == 0x7F }
            #expect(writer.bytes.count { $0 == 0x5C } == quotes + value.count { $0 == 0x5C })
        }
    }

    @Test func `UTF-8 is what the standard library says it is`() {
        for first in UInt8(0x80)...0xFF {
            for second in UInt8.min...UInt8.max {
                for tail in [[], [0x80], [0xBF, 0x80], [0x80, 0x41]] as [[UInt8]] {
                    let bytes = [first, second] + tail
                    let isValid = String(validating: bytes, as: UTF8.self) != nil
                    #expect(isUTF8(bytes[...]) == isValid)
                }
            }
        }
    }

    @Test(
        arguments: [
            ([0xE2, 0x82], .unexpectedEnd, 3), ([0xE2, 0x82, 0x22], .badUTF8, 3),
            ([0xE0, 0x9F], .badUTF8, 2),
            ([0xED, 0xA0, 0x80], .badUTF8, 2), ([0xF4, 0x90], .badUTF8, 2),
            ([0xF0, 0x90, 0x80, 0x7F], .badUTF8, 4),
            ([0xC3], .unexpectedEnd, 2), ([0xC0, 0x80], .badUTF8, 1), ([0xF5], .badUTF8, 1),
        ] as [([UInt8], JSONError.Reason, Int)])
    func `of broken UTF-8 the first byte that no character has there is named`(
        bytes: [UInt8], reason: JSONError.Reason, position: Int
    ) {
        #expect(failure([0x22] + bytes) == JSONError(reason, at: position))
    }

    /// All 22,620 texts of up to four of these, held against a grammar written in another way.
    @Test func `every short text has the verdict of the grammar`() {
        let alphabet = Array("[]{}\",:01-.e".utf8)
        var texts: [[UInt8]] = [[]]
        for _ in 0..<4 {
            texts = texts.flatMap { text in alphabet.map { text + [$0] } }
            for text in texts {
                let error = failure(text)
                #expect((error == nil) == Grammar.isValue(text[...]))
                #expect(typedFailure(text) == error)
            }
        }
    }

    /// RELIABILITY.md (c) 51: no text ends the process.
    @Test func `mutated texts never trap, and both paths name the same byte`() {
        let seeds = [
            "{\"records\":[{\"key\":\"alice\",\"value\":{\"total\":42.5e3},"
                + "\"headers\":{\"a\":[\"b\",null]}}]}",
            "[\"\\ud834\\udd1e\\n\",-0.0,true,false,null,\"é€𝄞\",{\"\":[]}]",
            " { \"a long name of more than eight\" : \"and a longer text \\\\ with\\tsome é "
                + "in it\" } ",
        ]
        var random = SeededRandom(seed: 7)
        for round in 0..<20_000 {
            let bytes = random.mutated(Array(seeds[round % seeds.count].utf8))
            let error = failure(bytes)
            #expect(typedFailure(bytes) == error)
            #expect(isJSON(bytes, in: 0..<bytes.count) == (error == nil))
            guard let error else { continue }
            #expect(isExact(error, in: bytes), "\(bytes)")
        }
    }

    /// Whether what stands in front of the error could still become right, and not with its byte.
    private func isExact(_ error: JSONError, in bytes: [UInt8]) -> Bool {
        let before = failure(Array(bytes[..<error.position]))
        let couldBeRight = before == nil || before == JSONError(.unexpectedEnd, at: error.position)
        if error.reason == .unexpectedEnd { return couldBeRight && error.position == bytes.count }
        return couldBeRight && failure(Array(bytes[...error.position])) == error
    }
}

/// RFC 8259 for texts without white space, escapes and literals: slow, by splitting.
private enum Grammar {
    static func isValue(_ text: ArraySlice<UInt8>) -> Bool {
        guard let first = text.first, let last = text.last else { return false }
        let inner = text.dropFirst().dropLast()
        // A bracket alone cannot be both ends: the two differ.
        switch (first, last) {
        case (0x5B, 0x5D): return inner.isEmpty || isList(inner, isValue)
        case (0x7B, 0x7D): return inner.isEmpty || isList(inner, isMember)
        default: return isString(text) || isNumber(text)
        }
    }

    private static func isString(_ text: ArraySlice<UInt8>) -> Bool {
        text.count >= 2 && text.first == 0x22 && text.last == 0x22
            && !text.dropFirst().dropLast().contains(0x22)
    }

    private static func isMember(_ text: ArraySlice<UInt8>) -> Bool {
        text.indices.contains { at in
            text[at] == 0x3A && isString(text[..<at]) && isValue(text[(at + 1)...])
        }
    }

    private static func isList(
        _ text: ArraySlice<UInt8>, _ isPart: (ArraySlice<UInt8>) -> Bool
    ) -> Bool {
        isPart(text)
            || text.indices.contains { at in
                text[at] == 0x2C && isPart(text[..<at]) && isList(text[(at + 1)...], isPart)
            }
    }

    private static func isNumber(_ text: ArraySlice<UInt8>) -> Bool {
        let number = String(decoding: text, as: UTF8.self)
        return number.wholeMatch(of: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/) != nil
    }
}
