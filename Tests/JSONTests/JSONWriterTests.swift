import JSON
import TestSupport
import Testing

private func written(_ write: (inout JSONWriter) -> Void) -> String {
    var writer = JSONWriter()
    write(&writer)
    return String(decoding: writer.bytes, as: UTF8.self)
}

@Suite struct `JSON writer` {
    @Test func `commas stand between and nowhere else`() {
        let text = written {
            $0.beginObject()
            $0.name("a")
            $0.beginArray()
            $0.integer(1)
            $0.beginArray()
            $0.endArray()
            $0.beginObject()
            $0.endObject()
            $0.bool(true)
            $0.endArray()
            $0.name("b")
            $0.null()
            $0.endObject()
        }
        #expect(text == "{\"a\":[1,[],{},true],\"b\":null}")
    }

    @Test func `lines begin anew`() {
        let text = written {
            for value in 0..<2 {
                $0.beginArray()
                $0.integer(Int64(value))
                $0.endArray()
                $0.endLine()
            }
        }
        #expect(text == "[0]\n[1]\n")
    }

    @Test func `integers of every length are whole, to both ends of their range`() {
        var values: [Int64] = [0, .min, .max]
        var power: Int64 = 1
        while power < .max / 10 {
            values += [power - 1, power, -power, power * 3 + 1]
            power *= 10
        }
        for value in values { #expect(written { $0.integer(value) } == "\(value)") }
    }

    @Test func `every character comes back from its escape`() throws {
        let text =
            String(String.UnicodeScalarView((0..<0x300).compactMap(Unicode.Scalar.init))) + "€𝄞"
        let json = Array(written { $0.string(text) }.utf8)
        var reader = JSONReader(json)
        let string = try reader.readString()
        #expect(try reader.text(string) == text)
        #expect(!json.contains { $0 < 0x20 || $0 == 0x7F })
    }

    @Test func `a raw value on one line loses its line breaks and nothing else`() {
        let value = Array("{\r\n \"a\": 1\n}".utf8)
        #expect(written { $0.raw(value[...]) } == "{\r\n \"a\": 1\n}")
        #expect(written { $0.rawOnOneLine(value[...]) } == "{   \"a\": 1 }")
    }
}
