import Backends
import HTTPServer
import JSON
import Platform

/// One NDJSON produce: what arrives together goes to its partitions in one write each, while what
/// came before is still being made durable.
// @unchecked: the handler and its child task run on the connection's event loop (a child inherits
// the task's executor preference), so that one thread touches all of this, between awaits.
final class LinesProduce: @unchecked Sendable {
    private struct Part {
        var batches: PendingBatches
        /// The line of each record.
        var lines: [Int]
    }

    private let exchange: Exchange
    private let topic: any Topic
    private let options: ProduceOptions
    private let partitioner: Partitioner
    private let time: any TimeSource
    private var lines: RecordLines
    /// Appended and not acknowledged, in the order of the body.
    private var parts: [Part] = []
    private var summary = LinesSummary()
    /// What ended the reading before the body's end.
    private var refused: Problem?
    private var isRead = false
    private var isFirstPart = true
    private var isBroken = false
    private var isStreaming = false
    /// Wakes who acknowledges: there is a part, or the end.
    private let arrived = Wakeup()
    /// Wakes who reads: there is room for a part.
    private let settled = Wakeup()

    init(
        _ exchange: Exchange, _ topic: any Topic, _ options: ProduceOptions,
        _ partitioner: Partitioner, _ time: any TimeSource, _ maxBodyBytes: Int
    ) {
        self.exchange = exchange
        self.topic = topic
        self.options = options
        self.partitioner = partitioner
        self.time = time
        // A byte takes six at most in JSON (\u0000), four thirds in Base64.
        let longest = topic.configuration.maxRecordBytes.multipliedReportingOverflow(by: 6)
        let lineLimit = longest.overflow ? maxBodyBytes : min(longest.partialValue, maxBodyBytes)
        lines = RecordLines(
            topic: topic.name, lineLimit: max(lineLimit, ProduceLimits.shortestLineLimit))
    }

    // MARK: - One answer at the end

    func answerAtEnd() async throws(Problem) {
        while !isRead {
            await readPart()
            while parts.count > (isRead ? 0 : ProduceLimits.unacknowledgedParts) {
                await settleFirst()
            }
            if summary.failure != nil { isRead = true }
        }
        while !parts.isEmpty { await settleFirst() }
        if isBroken { throw Problem(BodyError.broken) }
        if let problem = summary.problem(refused) { throw problem }
        exchange.respond(answer)
    }

    private var answer: Response {
        options.acks == .none
            ? Response(status: 202, contentType: nil)
            : Response(status: 200, contentType: "application/json", body: summary.document())
    }

    // MARK: - An answer a line

    /// Reads and acknowledges at the same time, so that neither waits for the other but where the
    /// other has fallen far behind.
    func answerInLines() async throws(Problem) {
        if options.acks == .none { return try await answerAtEnd() }
        async let reading: Void = readAll()
        await acknowledgeAll()
        // Before `reading` ends: it may still wait for a client that waits for this.
        await finishLines()
        await reading
        if isBroken, !isStreaming { throw Problem(BodyError.broken) }
    }

    private func readAll() async {
        while !isRead {
            while parts.count >= ProduceLimits.unacknowledgedParts, !isRead { await settled.wait() }
            if isRead { break }
            await readPart()
            arrived.wake()
        }
        arrived.wake()
    }

    private func acknowledgeAll() async {
        while true {
            if parts.isEmpty {
                if isRead { return }
                await arrived.wait()
                continue
            }
            // A line stands for the record of its place: behind one that failed there are no more.
            let hadFailed = summary.failure != nil
            let (outcome, lines) = await settleFirst()
            settled.wake()
            do throws(StreamError) {
                if !hadFailed { try await writeLines(outcome, lines.count) }
            } catch {
                // Nobody is there to be told; what was appended stays.
                isBroken = true
            }
            if isBroken || summary.failure != nil { isRead = true }
        }
    }

    /// A line for each record up to the first that failed. A body whose first line is bad is left
    /// to be answered with its own status.
    private func writeLines(_ outcome: ProduceOutcome, _ recordCount: Int) async throws(StreamError)
    {
        if isBroken { return }
        let count = outcome.firstFailure?.record ?? recordCount
        if count == 0 { return }
        if !isStreaming { startStream() }
        var writer = JSONWriter()
        writer.bytes.reserveCapacity(36 * count)
        for record in 0..<count {
            outcome.writeFate(record, to: &writer)
            writer.endLine()
        }
        try await exchange.write(writer.bytes)
    }

    private func startStream() {
        var response = Response(status: 200, contentType: "application/x-ndjson")
        response.fields = [
            ("cache-control", "no-cache, no-transform"), ("x-accel-buffering", "no"),
        ]
        exchange.startStream(response)
        isStreaming = true
    }

    /// Ends the lines, with the problem as the last where there was one; before the first line it
    /// is an answer of its own. A body that broke off leaves the answer broken, too.
    private func finishLines() async {
        if isBroken { return }
        if let problem = summary.problem(refused) {
            if !isStreaming { return exchange.respond(problem.response()) }
            let line = Array("{\"problem\":".utf8) + problem.document() + Array("}\n".utf8)
            do { try await exchange.write(line) } catch { return }
        }
        if !isStreaming { startStream() }
        exchange.finish()
    }

    // MARK: - Both

    /// Reads what has arrived and appends it; sets `isRead` where nothing more is to be read.
    private func readPart() async {
        let bytes: [UInt8]?
        do throws(BodyError) {
            bytes = try await exchange.nextBodyBytes()
            try exchange.reserve(lines.unfinishedBytes + (bytes?.count ?? 0))
        } catch {
            if case .broken = error { isBroken = true } else { refused = Problem(error) }
            isRead = true
            return
        }
        if isRead { return }
        // A body of one part, as most are, is not held up, nor is the end of another.
        if bytes != nil, !isFirstPart { _ = await exchange.pace() }
        isFirstPart = false
        var rules = PartitionedRecords.Rules(options, topic, partitioner, exchange.now, time)
        rules.keepTrace(of: exchange.head)
        var records = PartitionedRecords(rules)
        var numbers: [Int] = []
        do throws(Problem) {
            try lines.take(bytes, into: &records, lines: &numbers)
        } catch { refused = error }
        if records.recordCount > 0 {
            let batches = PendingBatches(appending: &records, to: topic, acks: options.acks)
            parts.append(Part(batches: batches, lines: numbers))
            if batches.hasFailed { isRead = true }
        }
        if bytes == nil || refused != nil {
            isRead = true
        } else if exchange.serverIsDraining {
            refused = Problem(
                .notReady,
                "The server is stopping; send what follows line \(lines.lineCount) again.",
                [("line", .integer(Int64(lines.lineCount + 1)))])
            isRead = true
        }
    }

    @discardableResult
    private func settleFirst() async -> (ProduceOutcome, lines: [Int]) {
        var part = parts[0]
        let outcome = await part.batches.outcome(topic)
        parts.removeFirst()
        summary.add(outcome, lines: part.lines)
        return (outcome, part.lines)
    }
}
