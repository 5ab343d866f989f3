import Backends
import HTTPServer
import Platform

/// Watches the partitions of a read, so that new data, the deadline, a client that left and a drain
/// all wake it. Watch first, look again, then wait: no append between can be missed.
///
/// Others may wake `wakeup` as well: after each wake the read looks again.
final class Watcher {
    private let exchange: Exchange
    let wakeup = Wakeup()
    private var deadline: Instant
    private var watches: [(topic: any Topic, partition: Int, id: WatchID)] = []

    init(_ exchange: Exchange, until deadline: Instant) {
        self.exchange = exchange
        self.deadline = deadline
        exchange.arm(wakeup, until: deadline)
    }

    /// Registers for what comes behind the positions.
    func watch(_ positions: [ReadPosition]) throws(Problem) {
        unwatch()
        for position in positions {
            do throws(BackendError) {
                let id = try position.topic.watch(position.partition, past: position.next, wakeup)
                watches.append((position.topic, position.partition, id))
            } catch {
                // Nothing will come of one that failed.
                guard case .partitionFailed = error else { throw Problem(error) }
            }
        }
    }

    /// Waits for a wake; false when there is nothing more to wait for: deadline, client gone,
    /// drain.
    func wait() async -> Bool {
        if isOver { return false }
        await wakeup.wait()
        return !isOver
    }

    func extend(to deadline: Instant) {
        self.deadline = deadline
        exchange.arm(wakeup, until: deadline)
    }

    var isPastDeadline: Bool { exchange.now >= deadline }

    private var isOver: Bool {
        exchange.clientIsGone || exchange.serverIsDraining || isPastDeadline
    }

    func end() {
        unwatch()
        exchange.disarm()
    }

    private func unwatch() {
        for watch in watches { watch.topic.unwatch(watch.partition, watch.id) }
        watches.removeAll(keepingCapacity: true)
    }
}
