package import Backends
package import Platform
import Synchronization

/// Chooses the partition of records that name none and have no key.
///
/// All of one request go to one partition ("sticky per batch"), and requests take the partitions in
/// turn. Those that come within `window` of each other share one, so that under load one fdatasync
/// serves many (Kafka's sticky partitioner, KIP-480, with time in the place of linger); a client
/// that sends one request at a time sees its records spread.
package final class Partitioner: Sendable {
    private final class Turn: Sendable {
        let number = Atomic<UInt32>(0)
        /// When `number` was counted up, in nanoseconds.
        let began = Atomic<Int64>(.min)
    }

    private static let window: Int64 = 500_000
    /// By topic, as far as their identities fall apart: topics written in alternation must not
    /// take the partitions in step.
    private let turns = (0..<64).map { _ in Turn() }

    package init() {}

    /// A partition below `count`. Two relaxed loads, and a write once a window: no lock.
    package func next(of topic: any Topic, count: Int, now: Instant) -> Int {
        if count <= 1 { return 0 }
        let turn = turns[Int(UInt(bitPattern: ObjectIdentifier(topic).hashValue) % 64)]
        let began = turn.began.load(ordering: .relaxed)
        var number = turn.number.load(ordering: .relaxed)
        if now.nanoseconds &- began >= Self.window || began == .min {
            let (isMine, _) = turn.began.compareExchange(
                expected: began, desired: now.nanoseconds, ordering: .relaxed)
            if isMine { number = turn.number.wrappingAdd(1, ordering: .relaxed).newValue }
        }
        return Int(number) % count
    }
}
