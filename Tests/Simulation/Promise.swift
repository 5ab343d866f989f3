/// A promise that was not kept, in words that say where.
struct Broken: Error {
    var words: String
}

func promise(_ isKept: Bool, _ words: @autoclosure () -> String) throws(Broken) {
    guard isKept else { throw Broken(words: words()) }
}

/// All that happened, in order, as one number.
struct Trace {
    private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ numbers: Int64...) {
        for number in numbers {
            value = (value ^ UInt64(bitPattern: number)) &* 0x0000_0100_0000_01B3
            value ^= value >> 29
        }
    }
}
