import GatewayAPI
import TestSupport
import Testing

private func encoded(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    Base64.encode(bytes[...], to: &text)
    return String(decoding: text, as: UTF8.self)
}

private func decoded(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    return Base64.decode(Array(text.utf8)[...], to: &bytes) ? bytes : nil
}

@Suite struct `Base64 text` {
    /// RFC 4648 §10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
    ])
    func `the vectors of the RFC hold both ways`(plain: String, text: String) {
        #expect(encoded(Array(plain.utf8)) == text)
        #expect(decoded(text) == Array(plain.utf8))
    }

    @Test func `all 64 characters have their place`() {
        let text = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        #expect(decoded(text).map(encoded) == text)
        #expect(decoded(text)?.prefix(3) == [0x00, 0x10, 0x83])
        #expect(decoded(text)?.suffix(3) == [0xF3, 0xDF, 0xBF])
    }

    @Test(arguments: [
        "Z", "Zg", "Zg=", "Zg===", "=", "==", "====", "Z===", "=Zg=", "Z=g=", "Zm8==", "Zg==Zg==",
        "Zm9v=", "Zm9v====", " Zg==", "Zg== ", "Zg\n==", "Zm9v\r\n", "Zm-_", "Zm9é", "Zm9\0",
        "Zm9.",
    ])
    func `what is not exactly what encoding gives is refused`(text: String) {
        #expect(decoded(text) == nil)
    }

    @Test(arguments: ["Zh==", "Zm9=", "Z/==", "ZmZ="])
    func `bits that no byte takes must be zero, or two texts would mean the same`(text: String) {
        #expect(decoded(text) == nil)
    }

    @Test func `decoding appends, and appends nothing where it fails in the last group`() {
        var bytes: [UInt8] = [1, 2]
        #expect(Base64.decode(Array("Zm9v".utf8)[...], to: &bytes))
        #expect(bytes == [1, 2, 0x66, 0x6F, 0x6F])
        #expect(!Base64.decode(Array("Zm9vZm9v!m9v".utf8)[...], to: &bytes))
        #expect(bytes == [1, 2, 0x66, 0x6F, 0x6F])
    }

    @Test func `bytes come back, and what decodes encodes to itself`() {
        var random = SeededRandom(seed: 11)
        for count in 0..<200 {
            let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            let text = encoded(bytes)
            #expect(decoded(text) == bytes)
            for _ in 0..<50 {
                let mutated = random.mutated(Array(text.utf8))
                var out: [UInt8] = []
                guard Base64.decode(mutated[...], to: &out) else { continue }
                #expect(Array(encoded(out).utf8) == mutated)
            }
        }
    }

    /// Room for just what comes next would copy the array for every key: 1.3 s for 30,000 of 100
    /// bytes.
    @Test func `many small values in one array do not copy it each time`() {
        let piece = [UInt8](repeating: 7, count: 30)
        let text = Array(encoded(piece).utf8)
        var out: [UInt8] = []
        var bytes: [UInt8] = []
        var copies = 0
        for _ in 0..<10_000 {
            let capacities = (out.capacity, bytes.capacity)
            Base64.encode(piece[...], to: &out)
            #expect(Base64.decode(text[...], to: &bytes))
            if out.capacity != capacities.0 { copies += 1 }
            if bytes.capacity != capacities.1 { copies += 1 }
        }
        #expect(copies < 50)
    }
}
