/// Which coding a client would have an answer in (RFC 9110 §12.5.3): ours are gzip and none.
enum AcceptEncoding {
    /// Whether gzip is accepted, and not less than none at all.
    static func prefersGzip(_ head: RequestHead) -> Bool {
        var gzip: Int?
        var identity: Int?
        var rest: Int?
        for line in head.values(of: .acceptEncoding) {
            var start = line.lowerBound
            while start < line.upperBound {
                let end =
                    head.bytes[start..<line.upperBound].firstIndex(of: UInt8(ascii: ","))
                    ?? line.upperBound
                let (name, quality) = element(head, start..<end)
                if head.matches(name, "gzip") || head.matches(name, "x-gzip") { gzip = quality }
                if head.matches(name, "identity") { identity = quality }
                if head.matches(name, "*") { rest = quality }
                start = end + 1
            }
        }
        guard let accepted = gzip ?? rest else { return false }
        return accepted > 0 && accepted >= identity ?? rest ?? 0
    }

    /// `gzip;q=0.5` as its name and 500; what cannot be read is not accepted.
    private static func element(
        _ head: RequestHead, _ range: Range<Int>
    ) -> (name: Range<Int>, quality: Int) {
        guard let semicolon = head.bytes[range].firstIndex(of: UInt8(ascii: ";")) else {
            return (trimmed(head.bytes, range), 1000)
        }
        let parameter = trimmed(head.bytes, (semicolon + 1)..<range.upperBound)
        let name = trimmed(head.bytes, range.lowerBound..<semicolon)
        guard head.matchesPrefix(parameter, "q=") else { return (name, 0) }
        return (name, thousandths(head.bytes[parameter].dropFirst(2)))
    }

    /// RFC 9110 §12.4.2: `0.25` as 250; what is none as 0.
    private static func thousandths(_ text: ArraySlice<UInt8>) -> Int {
        guard let whole = text.first, whole == 0x30 || whole == 0x31, text.count <= 5 else {
            return 0
        }
        var value = Int(whole - 0x30) * 1000
        guard text.count > 1 else { return value }
        guard text.dropFirst().first == UInt8(ascii: ".") else { return 0 }
        var unit = 100
        for digit in text.dropFirst(2) {
            guard isDigit(digit) else { return 0 }
            value += Int(digit - 0x30) * unit
            unit /= 10
        }
        return value <= 1000 ? value : 0
    }
}
