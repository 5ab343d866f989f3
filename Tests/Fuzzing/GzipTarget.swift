import Platform

/// gzip opened at once, byte by byte and a few bytes at a time: one content or one fault, and never
/// more of it than was asked for.
@Sendable
func checkGzip(_ bytes: [UInt8]) throws(Contradiction) {
    let whole = try inflate(bytes, step: max(1, bytes.count), most: 64 << 10)
    for (step, most) in [(1, 64 << 10), (bytes.count + 1, 11), (7, 100)] {
        let parts = try inflate(bytes, step: step, most: most)
        // Damage behind the most that is looked at may be met before or not.
        let isCut = parts == .tooMuch || whole == .tooMuch
        try claim(isCut || parts == whole, "\(whole) at once, \(parts) by \(step) and \(most)")
    }
    switch whole {
    case .whole(let content):
        try claim((try? gunzip(bytes.span, limit: content.count)) == content, "gunzip differs")
        let packed = gzip(content.span, level: 1)
        try claim((try? gunzip(packed.span, limit: content.count)) == content, "gzip differs")
    case .open, .damaged:
        try claim((try? gunzip(bytes.span, limit: 1 << 16)) == nil, "gunzip takes what is \(whole)")
    case .tooMuch: break
    }
}

private enum Inflated: Equatable {
    case whole([UInt8])
    case open
    case damaged
    case tooMuch
}

private func inflate(_ bytes: [UInt8], step: Int, most: Int) throws(Contradiction) -> Inflated {
    let inflater = Inflater()
    var content: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: step) {
        inflater.feed(Array(bytes[start..<min(start + step, bytes.count)]))
        while true {
            guard let piece = try? inflater.next(most: most) else { return .damaged }
            try claim(piece.count <= most, "\(piece.count) bytes where \(most) were asked for")
            if piece.isEmpty { break }
            content += piece
            if content.count > 1 << 16 { return .tooMuch }
        }
    }
    return inflater.isWhole ? .whole(content) : .open
}
