/// A promise that was not kept, in words that say where; it ends the schedule.
struct Broken: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

func promise(_ isKept: Bool, _ words: @autoclosure () -> String) throws(Broken) {
    guard isKept else { throw Broken(words()) }
}

/// All that happened, in order, as one number that does not depend on the process (FNV-1a).
struct Trace {
    private(set) var hash: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ number: UInt64) { hash = (hash ^ number) &* 0x0000_0100_0000_01b3 }

    mutating func add(_ numbers: Int64...) {
        for number in numbers { add(UInt64(bitPattern: number)) }
    }

    mutating func add(_ bytes: [UInt8]) {
        for byte in bytes { add(UInt64(byte)) }
        add(UInt64(bytes.count) | 1 << 32)
    }
}
