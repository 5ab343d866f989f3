import Backends
import HTTPServer
import JSON
import Platform

/// One round trip of a worker's loop: heartbeat, commit, and a page of what the member is assigned.
///
/// It waits for records, and returns at once when the assignment changes. Nothing but the commit
/// and the confirmation that the epoch brings changes by it, so it can be sent again.
struct MemberPoll {
    let exchange: Exchange
    let seat: Seat
    let document: PollDocument
    let maxWait: Duration

    // What is called from here is not inlined: the frame is kept by a member as long as it waits.
    func answer() async throws(Problem) {
        var poll = try await take(document.memberEpoch, document.commit)
        let deadline = exchange.now + min(.milliseconds(document.waitMs), maxWait)
        let watcher = Watcher(exchange, until: deadline)
        let watch = try seat.watch(watcher.wakeup)
        defer {
            seat.unwatch(watch)
            watcher.end()
            seat.coordinator.end(poll)
        }
        while true {
            do {
                let page = try await read(poll.view)
                var pager = page.pager
                var outcome = page.outcome
                if outcome.recordCount > 0 || poll.view.epoch != document.memberEpoch {
                    return finish(&pager, outcome, poll.view)
                }
                switch try await wait(&pager, &outcome, watcher, poll, until: deadline) {
                case .nothing: try outcome.check()
                case .records: break
                case .news:
                    poll = try await lookAgain(poll)
                    continue
                }
                return finish(&pager, outcome, poll.view)
            } catch {
                // A topic was deleted under the read: without it, until the assignment says so.
                guard error.code == .unknownTopic else { throw error }
            }
        }
    }

    private enum Waited { case records, nothing, news }

    @inline(never)
    private func take(
        _ epoch: Int64, _ commit: [OffsetCommit]
    ) async throws(Problem) -> GroupCoordinator.Poll {
        try await exchange.coordinating { () async throws(GroupError) in
            try await seat.coordinator.poll(
                seat.group, seat.member, epoch: epoch, commit: commit)
        }
    }

    @inline(never)
    private func lookAgain(
        _ poll: GroupCoordinator.Poll
    ) async throws(Problem) -> GroupCoordinator.Poll {
        try await exchange.coordinating { () async throws(GroupError) in
            try await seat.coordinator.lookAgain(poll)
        }
    }

    /// The answer's beginning, with what there is to read at once.
    @inline(never)
    private func read(
        _ view: MemberView
    ) async throws(Problem) -> (pager: RecordPager, outcome: RecordPager.Outcome) {
        try exchange.requireRead(view)
        let positions = try seat.positions(view, document.cursor)
        let beginnings = seat.beginnings(view, positions, document.cursor)
        if !beginnings.isEmpty {
            try await exchange.coordinating { () async throws(GroupError) in
                try await seat.coordinator.commit(
                    seat.group, seat.member, epoch: view.epoch, beginnings)
            }
        }
        var pager = RecordPager(positions, tag: nil, form: .page, isMember: true)
        pager.writer.beginObject()
        pager.writer.assignment(of: view)
        pager.writer.name("records")
        pager.writer.beginArray()
        let outcome = try await pager.fill(budget, for: exchange)
        return (pager, outcome)
    }

    private var budget: RecordPager.Budget {
        RecordPager.Budget(
            records: min(document.maxRecords ?? Limits.defaultPageRecords, Limits.pageRecords),
            bytes: min(document.maxBytes ?? Limits.defaultPageBytes, Limits.pageBytes))
    }

    /// As long as the client is there its member lives, which each part of the wait says anew.
    @inline(never)
    private func wait(
        _ pager: inout RecordPager, _ outcome: inout RecordPager.Outcome, _ watcher: Watcher,
        _ poll: GroupCoordinator.Poll, until deadline: Instant
    ) async throws(Problem) -> Waited {
        while true {
            try watcher.watch(pager.positions)
            let hasNews = try await exchange.coordinating { () async throws(GroupError) in
                try await seat.coordinator.hasNews(poll)
            }
            if hasNews { return .news }
            outcome = try await pager.fill(budget, for: exchange)
            if outcome.recordCount > 0 { return .records }
            let now = exchange.now
            if now >= deadline { return .nothing }
            watcher.extend(
                to: min(deadline, now + .milliseconds(poll.view.heartbeatInterval)))
            if await watcher.wait() { continue }
            if !watcher.isPastDeadline { return .nothing }
        }
    }

    @inline(never)
    private func finish(
        _ pager: inout RecordPager, _ outcome: RecordPager.Outcome, _ view: MemberView
    ) {
        pager.writer.endArray()
        pager.writer.name("cursor")
        pager.writer.string(pager.cursor.text)
        pager.writer.name("caughtUp")
        pager.writer.bool(outcome.caughtUp)
        pager.writer.endObject()
        exchange.respond(
            Response(status: 200, contentType: "application/json", body: pager.writer.bytes))
    }
}
