package import Platform
import Synchronization

/// Tickets for the streams of an EventSource, which cannot send `Authorization`: short-lived, for
/// one use, and for reading one topic. Kept in memory: a restart forgets them.
package final class Tickets: Sendable {
    /// From its making to its use.
    package static let lifetime = Duration.seconds(60)

    private struct Ticket {
        var grant: Grant
        var topic: String
        var deadline: Instant
    }

    private let tickets = Mutex<[Hash: Ticket]>([:])
    private let chance: @Sendable () -> UInt64

    init(chance: @escaping @Sendable () -> UInt64) { self.chance = chance }

    /// The text of a new ticket, `mrt_` and 64 hex digits; nil where too many are out.
    package func issue(_ grant: Grant, topic: String, wall: Int64, now: Instant) -> String? {
        let bytes = (0..<4).flatMap { _ in
            withoutEndianness(chance())
        }
        let text = "mrt_" + hexText(bytes)
        dropInvalid(wall: wall, now: now, onlyIfFull: true)
        return tickets.withLock {
            let own = $0.values.count { $0.grant.principal === grant.principal }
            guard $0.count < Limits.tickets, own < Limits.ticketsOfOne else { return nil }
            $0[Hash(of: Array(text.utf8))] = Ticket(
                grant: grant, topic: topic, deadline: now + Self.lifetime)
            return text
        }
    }

    /// Takes the ticket: whose it was, where it is good for this topic. It is used up in any case.
    package func redeem(
        _ text: [UInt8], topic: String, wall: Int64, now: Instant
    ) -> Grant? {
        guard let ticket = tickets.withLock({ $0.removeValue(forKey: Hash(of: text)) }),
            ticket.topic == topic, now < ticket.deadline, ticket.grant.isValid(at: wall)
        else { return nil }
        return ticket.grant
    }

    /// Forgets tickets whose time is over or whose credential is.
    package func dropInvalid(wall: Int64, now: Instant, onlyIfFull: Bool = false) {
        tickets.withLock { tickets in
            if onlyIfFull, tickets.count < Limits.ticketsOfOne { return }
            tickets = tickets.filter { now < $1.deadline && $1.grant.isValid(at: wall) }
        }
    }
}

private func withoutEndianness(_ word: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) }
}
