import Backends
import HTTPServer
import JSON
import Platform

/// Answers a read with a stream that goes on as records come: lines (NDJSON) or server-sent events.
///
/// Nothing here is state the client could lose: its cursor is its position.
struct ConsumeStream {
    let exchange: Exchange
    let form: ReadRequest.Form
    /// Ends the stream; nil: it goes on.
    let maxRecords: Int?
    /// Whose new partitions are taken in; nil where the partitions are given.
    let growing: (any Topic)?
    /// Whose partitions are read: the stream is its heartbeat, and ends when they change.
    let seat: (seat: Seat, view: MemberView)?

    // What is called from here is not inlined: the frame is kept by a client as long as it listens.
    func answer(from positions: [ReadPosition], tag: String?) async throws(Problem) {
        var pager = RecordPager(
            positions, tag: tag, form: form == .events ? .event : .line, isMember: seat != nil)
        var left = maxRecords ?? .max
        // The first look is before the head is sent, so that a bad start is a 4xx and not a stream.
        var outcome = try await pager.fill(budget(left), for: exchange)
        start()
        if exchange.head.method == .head { return exchange.finish() }
        let watcher = Watcher(exchange, until: exchange.now + heartbeat)
        let watch = try seat?.seat.watch(watcher.wakeup)
        defer {
            if let watch { seat?.seat.unwatch(watch) }
            watcher.end()
        }
        if outcome.recordCount == 0 { writeHeartbeat(&pager) }
        do throws(StreamError) {
            while true {
                left -= outcome.recordCount
                try await flush(&pager, outcome, watcher)
                if left == 0 || exchange.serverIsDraining { break }
                do throws(Problem) {
                    if try await hasNews() {
                        writeChange(&pager)
                        break
                    }
                    outcome = try await next(&pager, outcome, watcher, left)
                } catch {
                    // Deleted: the member's next poll tells it.
                    if error.code == .unknownTopic, seat != nil {
                        writeChange(&pager)
                    } else {
                        write(error, to: &pager)
                    }
                    break
                }
            }
            writeHeartbeat(&pager)
            try await exchange.write(pager.writer.bytes)
            exchange.finish()
        } catch {
            // The client went away, or read too slowly: it resumes from its cursor.
        }
    }

    /// The next burst; empty when it is time to say that the stream lives, or to end it.
    @inline(never)
    private func next(
        _ pager: inout RecordPager, _ last: RecordPager.Outcome, _ watcher: Watcher, _ left: Int
    ) async throws(Problem) -> RecordPager.Outcome {
        if !last.caughtUp, last.recordCount > 0 {
            return try await pager.fill(budget(left), for: exchange)
        }
        while true {
            if let growing { pager.follow(growthOf: growing) }
            try watcher.watch(pager.positions)
            let outcome = try await pager.fill(budget(left), for: exchange)
            if outcome.recordCount > 0 { return outcome }
            if try await hasNews() { return outcome }
            if await watcher.wait() { continue }
            if watcher.isPastDeadline {
                writeHeartbeat(&pager)
                watcher.extend(to: exchange.now + heartbeat)
            }
            return outcome
        }
    }

    /// Whether the member's assignment is about to change; a sign of life of it as well.
    private func hasNews() async throws(Problem) -> Bool {
        guard let (seat, view) = seat else { return false }
        return try await exchange.coordinating { () async throws(GroupError) in
            try await seat.coordinator.heartbeat(seat.group, seat.member, epoch: view.epoch)
        }
    }

    private var heartbeat: Duration {
        guard let view = seat?.view else { return Limits.heartbeat }
        return min(Limits.heartbeat, .milliseconds(view.heartbeatInterval))
    }

    private func budget(_ left: Int) -> RecordPager.Budget {
        RecordPager.Budget(records: min(left, Limits.burstRecords), bytes: Limits.burstBytes)
    }

    @inline(never)
    private func start() {
        var response = Response(
            status: 200,
            contentType: form == .events ? "text/event-stream" : "application/x-ndjson")
        response.fields = [
            ("cache-control", "no-cache, no-transform"), ("x-accel-buffering", "no"),
        ]
        exchange.startStream(response)
    }

    /// Hands the burst to the connection. Beyond 16 partitions only its last event carries the
    /// cursor.
    @inline(never)
    private func flush(
        _ pager: inout RecordPager, _ outcome: RecordPager.Outcome, _ watcher: Watcher
    ) async throws(StreamError) {
        if exchange.clientIsGone { throw .clientGone }
        if form == .events, outcome.recordCount > 0,
            pager.positions.count > Limits.cursorPerEventPartitions
        {
            pager.moveCursorIntoLastEvent()
        }
        if pager.writer.bytes.isEmpty { return }
        let bytes = pager.writer.bytes
        pager.writer = JSONWriter()
        try await exchange.write(bytes)
        if await exchange.pace() { watcher.extend(to: exchange.now + Limits.heartbeat) }
    }

    @inline(never)
    private func writeHeartbeat(_ pager: inout RecordPager) {
        let cursor = pager.cursor.text
        if form == .events {
            pager.writer.bytes.append(contentsOf: "event: heartbeat\n".utf8)
            pager.writeEventID()
            pager.writer.bytes.append(contentsOf: "data: ".utf8)
        }
        pager.writer.beginObject()
        pager.writer.name("cursor")
        pager.writer.string(cursor)
        pager.writer.endObject()
        endMessage(&pager)
    }

    /// The stream ends because the assignment changes: the member polls to learn how.
    @inline(never)
    private func writeChange(_ pager: inout RecordPager) {
        if form == .events {
            pager.writer.bytes.append(contentsOf: "event: assignment-changed\ndata: ".utf8)
        }
        pager.writer.beginObject()
        pager.writer.name("assignmentChanged")
        pager.writer.bool(true)
        pager.writer.endObject()
        endMessage(&pager)
    }

    /// A stream cannot take its 200 back: the problem is its last message.
    @inline(never)
    private func write(_ problem: Problem, to pager: inout RecordPager) {
        if form == .events {
            pager.writer.bytes.append(contentsOf: "event: problem\ndata: ".utf8)
        }
        pager.writer.beginObject()
        pager.writer.name("problem")
        pager.writer.raw(problem.document()[...])
        pager.writer.endObject()
        endMessage(&pager)
    }

    private func endMessage(_ pager: inout RecordPager) {
        pager.writer.endLine()
        if form == .events { pager.writer.endLine() }
    }
}
