import Backends
import HTTPServer
import JSON
import Platform

/// Answers a read with one page of JSON: at once, or by long-poll at the first record.
struct ConsumePage {
    let request: ReadRequest
    let exchange: Exchange

    func answer(_ positions: [ReadPosition]) async throws(Problem) {
        var pager = begin(positions)
        let first = positions[0].followsStart ? nil : positions[0].next
        var outcome = try await pager.fill(budget, for: exchange)
        if outcome.recordCount == 0, request.wait > .zero {
            let watcher = Watcher(exchange, until: exchange.now + request.wait)
            defer { watcher.end() }
            repeat {
                if request.partition == nil { pager.follow(growthOf: request.topic) }
                try watcher.watch(pager.positions)
                outcome = try await pager.fill(budget, for: exchange)
                if outcome.recordCount > 0 { break }
            } while await watcher.wait()
        }
        finish(&pager, outcome, from: first)
    }

    private var budget: RecordPager.Budget {
        RecordPager.Budget(
            records: min(request.maxRecords ?? Limits.defaultPageRecords, Limits.pageRecords),
            bytes: request.maxBytes)
    }

    // Neither is inlined: the frame of `answer` is kept by who waits.
    @inline(never)
    private func begin(_ positions: [ReadPosition]) -> RecordPager {
        var pager = RecordPager(positions, tag: request.topic.cursorTag, form: .page)
        pager.writer.beginObject()
        pager.writer.name("records")
        pager.writer.beginArray()
        return pager
    }

    @inline(never)
    private func finish(
        _ pager: inout RecordPager, _ outcome: RecordPager.Outcome, from first: Offset?
    ) {
        pager.writer.endArray()
        pager.writer.name("cursor")
        pager.writer.string(pager.cursor.text)
        pager.writer.name("caughtUp")
        pager.writer.bool(outcome.caughtUp)
        pager.writer.endObject()
        var response = Response(
            status: 200, contentType: "application/json", body: pager.writer.bytes)
        if outcome.isFull, request.partition != nil, request.start.isFixed,
            let first, request.topic.configuration.cleanupPolicy == .delete
        {
            makeCacheable(&response, from: first, to: pager.positions[0].next)
        } else {
            response.fields.append(("cache-control", "no-store"))
        }
        exchange.respond(response)
    }

    /// This page can never change: caches may serve it, and a client that has it need not load it
    /// again. Only pages of one partition: a topic that grows changes what a page of all of them
    /// holds.
    private func makeCacheable(_ response: inout Response, from: Offset, to: Offset) {
        let tag =
            "\"\(request.topic.cursorTag)-\(request.partition!)-\(from.value)-\(to.value)\""
        response.fields.append(("etag", tag))
        response.fields.append(
            ("cache-control", "private, max-age=\(Limits.historyMaxAge), immutable"))
        response.fields.append(("vary", "accept, last-event-id"))
        if exchange.head.value(of: .ifNoneMatch) != nil {
            let text = String(decoding: exchange.head.list(.ifNoneMatch), as: UTF8.self)
            if text == "*" || text.split(separator: ",").contains(where: { matches($0, tag) }) {
                response.status = 304
                response.contentType = nil
                response.body = []
            }
        }
    }

    /// Weak comparison, RFC 9110 §13.1.2.
    private func matches(_ candidate: Substring, _ tag: String) -> Bool {
        var text = candidate.drop { $0 == " " || $0 == "\t" }
        if text.hasPrefix("W/") { text.removeFirst(2) }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return text == tag
    }
}
