import Backends
import HTTPServer
import JSON
import Platform

/// Answers a read with a stream that goes on as records come: lines (NDJSON) or server-sent events.
///
/// Nothing here is state the client could lose: its cursor is its position.
struct ConsumeStream {
    let request: ReadRequest
    let exchange: Exchange

    func answer() async throws(Problem) {
        let positions = try await request.start.positions(
            in: request.topic, partition: request.partition)
        var pager = RecordPager(
            positions, tag: request.topic.cursorTag,
            form: request.form == .events ? .event : .line)
        var left = request.maxRecords ?? .max
        // The first look is before the head is sent, so that a bad start is a 4xx and not a stream.
        var outcome = try await pager.fill(budget(left))
        start()
        let watcher = Watcher(exchange, request, until: exchange.now + Limits.heartbeat)
        defer { watcher.end() }
        if outcome.recordCount == 0 { writeHeartbeat(&pager) }
        do throws(StreamError) {
            while true {
                left -= outcome.recordCount
                try await flush(&pager, outcome, watcher)
                if left == 0 || exchange.serverIsDraining { break }
                do throws(Problem) {
                    outcome = try await next(&pager, outcome, watcher, left)
                } catch {
                    write(error, to: &pager)
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
    private func next(
        _ pager: inout RecordPager, _ last: RecordPager.Outcome, _ watcher: Watcher, _ left: Int
    ) async throws(Problem) -> RecordPager.Outcome {
        if !last.caughtUp { return try await pager.fill(budget(left)) }
        while true {
            try watcher.watch(&pager)
            let outcome = try await pager.fill(budget(left))
            if outcome.recordCount > 0 { return outcome }
            if await watcher.wait() { continue }
            if watcher.isPastDeadline {
                writeHeartbeat(&pager)
                watcher.extend(to: exchange.now + Limits.heartbeat)
            }
            return outcome
        }
    }

    private func budget(_ left: Int) -> RecordPager.Budget {
        RecordPager.Budget(records: min(left, Limits.burstRecords), bytes: Limits.burstBytes)
    }

    private func start() {
        var response = Response(
            status: 200,
            contentType: request.form == .events ? "text/event-stream" : "application/x-ndjson")
        response.fields = [
            ("cache-control", "no-cache, no-transform"), ("x-accel-buffering", "no"),
        ]
        exchange.startStream(response)
    }

    /// Hands the burst to the connection. Beyond 16 partitions only its last event carries the
    /// cursor.
    private func flush(
        _ pager: inout RecordPager, _ outcome: RecordPager.Outcome, _ watcher: Watcher
    ) async throws(StreamError) {
        if exchange.clientIsGone { throw .clientGone }
        if request.form == .events, outcome.recordCount > 0,
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

    private func writeHeartbeat(_ pager: inout RecordPager) {
        let cursor = pager.cursor.text
        if request.form == .events {
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

    /// A stream cannot take its 200 back: the problem is its last message.
    private func write(_ problem: Problem, to pager: inout RecordPager) {
        if request.form == .events {
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
        if request.form == .events { pager.writer.endLine() }
    }
}
