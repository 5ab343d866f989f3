import Synchronization

/// What a server's connections may hold together: bytes that are buffered, and connections of one
/// address. Used from every loop.
final class ServerBudget: Sendable {
    private let heldBytes = Atomic<Int>(0)
    private let mostBytes: Int
    private let keptBytes = Atomic<Int>(0)
    private let perAddress: Mutex<[Address: Int]> = Mutex([:])
    private let mostPerAddress: Int

    init(_ limits: Limits) {
        mostBytes = limits.bufferedBytes
        mostPerAddress = limits.connectionsPerAddress ?? max(1000, limits.connections / 2)
    }

    // MARK: - Bytes

    var isFull: Bool { heldBytes.load(ordering: .relaxed) >= mostBytes }

    /// Reserves bytes before they are allocated; false where they are not to be had.
    func reserve(_ byteCount: Int) -> Bool {
        let held = heldBytes.add(byteCount, ordering: .relaxed).newValue
        if held <= mostBytes { return true }
        heldBytes.subtract(byteCount, ordering: .relaxed)
        return false
    }

    /// The same of what only saves work, which has a small share of all.
    func keep(_ byteCount: Int) -> Bool {
        let kept = keptBytes.add(byteCount, ordering: .relaxed).newValue
        if kept <= mostBytes / 64, reserve(byteCount) { return true }
        keptBytes.subtract(byteCount, ordering: .relaxed)
        return false
    }

    func letGo(kept byteCount: Int) {
        keptBytes.subtract(byteCount, ordering: .relaxed)
        add(-byteCount)
    }

    /// Counts what is held already and cannot be refused any more, or what was let go of.
    func add(_ byteCount: Int) { heldBytes.add(byteCount, ordering: .relaxed) }

    // MARK: - Connections

    /// Counts a connection of `address`; false where it has its share already.
    func admit(_ address: Address) -> Bool {
        perAddress.withLock {
            let count = $0[address, default: 0]
            guard count < mostPerAddress else { return false }
            $0[address] = count + 1
            return true
        }
    }

    func leave(_ address: Address) {
        perAddress.withLock {
            let count = $0[address, default: 0] - 1
            $0[address] = count > 0 ? count : nil
        }
    }
}
