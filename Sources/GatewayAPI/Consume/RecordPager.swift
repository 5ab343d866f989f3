import Backends
import HTTPServer
import JSON

/// Reads on from a set of positions and renders the records, a page or burst at a time.
///
/// The budget of a page is shared: each partition first gets its part, what one leaves goes to
/// those that have more. Which comes first depends on the positions alone, so that a repeated
/// request gives the same page and no partition starves.
struct RecordPager {
    /// How records stand in the answer.
    enum Form {
        /// Elements of a JSON array.
        case page
        /// One line each (NDJSON).
        case line
        /// Server-sent events, each with the cursor as its id (up to 16 partitions).
        case event
    }

    struct Budget {
        var records: Int
        /// Of rendered JSON; a first record is delivered however large it is.
        var bytes: Int
    }

    /// What a page turned out to be.
    struct Outcome {
        var recordCount = 0
        /// Nothing below the high watermark was left behind.
        var caughtUp = true
        /// The budget ended the page, and no partition was at its high watermark.
        var isFull = false
        /// Why a partition that failed could not be read; the others were.
        var failure: Failure?

        /// For who has nothing else to deliver.
        @inline(never)
        func check() throws(Problem) { if recordCount == 0, let failure { throw failure.problem } }
    }

    /// Apart, for thousands may wait with an outcome at hand.
    final class Failure: Sendable {
        let problem: Problem
        init(_ problem: Problem) { self.problem = problem }
    }

    private(set) var positions: [ReadPosition]
    /// The tag of cursors; nil where they name their topics.
    let tag: String?
    private let tags: [String]
    let form: Form
    /// Of a member, whose polls tell what it has: where nothing is left but partitions that failed,
    /// the outcome says so and no error does.
    private let isMember: Bool
    var writer = JSONWriter()

    private var renderers: [RecordJSON]
    /// What was read and is not yet rendered; empty ones hold no memory while a stream waits.
    private var readers: [RecordBatchReader]
    /// Those of `readers` that hold a large batch for the next burst.
    private var putBack: Set<Int> = []
    private var highWatermarks: [Offset?]
    private var recordCount = 0
    private var progress = Progress()
    /// Why a partition cannot be read, where others can.
    private var failure: Failure?

    init(_ positions: [ReadPosition], tag: String?, form: Form, isMember: Bool = false) {
        self.positions = positions
        self.isMember = isMember
        self.tag = tag
        self.form = form
        // Sorted by topic.
        tags =
            tag.map { [$0] }
            ?? positions.indices.filter {
                $0 == 0 || positions[$0].topic.name != positions[$0 - 1].topic.name
            }.map { positions[$0].topic.cursorTag }
        renderers = positions.map {
            RecordJSON(
                partition: $0.partition, topic: tag == nil ? $0.topic.name : nil,
                form: form == .page ? .page : .line)
        }
        readers = Array(repeating: RecordBatchReader([]), count: positions.count)
        highWatermarks = Array(repeating: nil, count: positions.count)
    }

    var cursor: Cursor {
        Cursor(
            entries: positions.map {
                Cursor.Entry(
                    topic: tag == nil ? $0.topic.name : nil, partition: $0.partition, next: $0.next)
            }, tags: tags)
    }

    /// Takes in partitions the topic has grown by, from their start.
    mutating func follow(growthOf topic: any Topic) {
        while positions.count < topic.partitionCount {
            let partition = positions.count
            positions.append(
                ReadPosition(
                    topic: topic, partition: partition, next: Offset(0), followsStart: true))
            renderers.append(RecordJSON(partition: partition, form: form == .page ? .page : .line))
            readers.append(RecordBatchReader([]))
            highWatermarks.append(nil)
        }
    }

    // MARK: - Hot path

    /// Renders the next records into `writer`: of the budget's bytes as many as the server may hold
    /// for the exchange now.
    ///
    /// What it waits for, it waits for here, and the rest is not inlined: a client in a long-poll
    /// keeps the frames of its deepest wait.
    @inline(never)
    mutating func fill(
        _ budget: Budget, for exchange: Exchange
    ) async throws(Problem) -> Outcome {
        let bytes = exchange.reserveAnswer(atMost: budget.bytes)
        defer { exchange.releaseAnswer(bytes) }
        begin(Budget(records: budget.records, bytes: bytes))
        while true {
            switch try proceed() {
            case .filled(let outcome):
                keepReaders(for: exchange)
                return outcome
            case .mustYield: await exchange.nextTurn()
            case .mustRead(let index, let byteCount):
                if try await !readOn(index, byteCount) { return try outcome(isFull: true) }
            }
        }
    }

    /// Reads from a disk that takes its time; false where the page ends with what it has.
    @inline(never)
    private mutating func readOn(_ index: Int, _ byteCount: Int) async throws(Problem) -> Bool {
        do throws(Problem) { try await read(index, byteCount) } catch {
            guard try goesOn(without: index, error) else { return false }
            progress.goOn()
        }
        return true
    }

    /// What was rendered of a partition is delivered before its error, which is then that of the
    /// next page. One that failed keeps nobody from the others, for as long as they have something.
    @inline(never)
    private mutating func goesOn(without index: Int, _ error: Problem) throws(Problem) -> Bool {
        if error.code == .partitionFailed || error.code == .logDamaged {
            failure = failure ?? Failure(error)
            return true
        }
        let wasRead = highWatermarks[index] != nil
        if recordCount == 0 || !wasRead { throw error }
        return false
    }

    /// What was read of a large batch is kept for the next burst, where the server may hold it:
    /// each would have to read, check and open all of it again.
    @inline(never)
    private mutating func keepReaders(for exchange: Exchange) {
        if exchange.keep(putBack.reduce(0) { $0 + readers[$1].heldBytes }) { return }
        for index in putBack { readers[index] = RecordBatchReader([]) }
        putBack = []
    }

    /// How far a page has come.
    private struct Progress {
        var budget = Budget(records: 0, bytes: 0)
        /// Where in `writer` the page must end unless it holds but one record.
        var pageEnd = 0
        /// Where in `writer` other requests come next.
        var turnEnd = 0
        /// Those to read from in this round, beginning at `place`, and in the next.
        var open: [Int] = []
        var place = 0
        var stillOpen: [Int] = []
        /// Up to where the one at `place` may fill; nil before it has begun.
        var limit: Budget?

        /// To the next partition.
        mutating func goOn() {
            limit = nil
            place += 1
        }
    }

    private enum Step {
        case filled(Outcome)
        /// Let others come first.
        case mustYield
        /// The disk would have to be waited for.
        case mustRead(index: Int, byteCount: Int)
    }

    @inline(never)
    private mutating func begin(_ budget: Budget) {
        recordCount = 0
        failure = nil
        progress = Progress(
            budget: budget, pageEnd: writer.bytes.count + budget.bytes,
            turnEnd: writer.bytes.count + Limits.bytesPerTurn, open: order())
        for index in progress.open { highWatermarks[index] = nil }
    }

    @inline(never)
    private mutating func proceed() throws(Problem) -> Step {
        while true {
            guard progress.place < progress.open.count else {
                progress.open = progress.stillOpen
                progress.stillOpen = []
                progress.place = 0
                let isFull = !progress.open.isEmpty
                if isFull, recordCount < progress.budget.records { continue }
                return .filled(try outcome(isFull: isFull))
            }
            guard let limit = progress.limit ?? nextLimit() else {
                return .filled(try outcome(isFull: true))
            }
            progress.limit = limit
            let index = progress.open[progress.place]
            var taken = Taken.emptied
            do throws(Problem) { taken = try take(index, limit) } catch {
                if try !goesOn(without: index, error) { taken = .pageFull }
            }
            switch taken {
            case .pageFull: return .filled(try outcome(isFull: true))
            case .mustYield: return .mustYield
            case .mustRead(let byteCount): return .mustRead(index: index, byteCount: byteCount)
            case .hasMore: progress.stillOpen.append(index)
            case .emptied: break
            }
            progress.goOn()
        }
    }

    /// The share of the next partition, as what `recordCount` and `writer` may come to; nil where
    /// the page is full.
    private func nextLimit() -> Budget? {
        let left = progress.open.count - progress.place
        let recordsLeft = progress.budget.records - recordCount
        let bytesLeft = progress.pageEnd - writer.bytes.count
        if recordsLeft == 0 || recordCount > 0 && bytesLeft <= 0 { return nil }
        return Budget(
            records: recordCount + max(1, recordsLeft / left),
            bytes: writer.bytes.count + max(1, bytesLeft / left))
    }

    private enum Taken {
        case emptied, hasMore, pageFull, mustYield
        case mustRead(byteCount: Int)
    }

    /// Renders records of one partition up to its limit.
    private mutating func take(_ index: Int, _ limit: Budget) throws(Problem) -> Taken {
        while true {
            if writer.bytes.count >= progress.turnEnd {
                progress.turnEnd = writer.bytes.count + Limits.bytesPerTurn
                return .mustYield
            }
            if let taken = try takeRead(index, limit) { return taken }
            // What a page does not take is read and checked in vain; what it lacks is read next.
            let wanted = min(
                limit.bytes - writer.bytes.count,
                (limit.records - recordCount) &* Limits.fetchBytesPerRecord)
            let byteCount = min(Limits.fetchBytes, max(4096, wanted))
            guard let isEmpty = try readNow(index, byteCount) else {
                return .mustRead(byteCount: byteCount)
            }
            if isEmpty { return .emptied }
        }
    }

    /// The same of what was read already; nil, with the reader empty, where that is used up.
    private mutating func takeRead(_ index: Int, _ limit: Budget) throws(Problem) -> Taken? {
        let renderer = renderers[index]
        // Out of the array, where every use would copy it.
        var reader = RecordBatchReader([])
        swap(&reader, &readers[index])
        if !putBack.isEmpty { putBack.remove(index) }
        do {
            while let record = try reader.next() {
                if record.offset < positions[index].next { continue }
                let before = writer.bytes.count
                if form == .event { writeEventHead(record, index) }
                renderer.write(record, of: reader, to: &writer)
                if form != .page { writer.endLine() }
                if form == .event { writer.endLine() }
                if writer.bytes.count > progress.pageEnd, recordCount > 0 {
                    writer.bytes.removeLast(writer.bytes.count - before)
                    if form != .page, reader.heldBytes > Limits.largeReadBytes {
                        reader.putBack(record)
                        swap(&reader, &readers[index])
                        putBack.insert(index)
                    }
                    return .pageFull
                }
                positions[index].next = record.offset.next
                // What the log loses from here on is lost to this reader.
                positions[index].followsStart = false
                recordCount += 1
                if recordCount == limit.records || writer.bytes.count >= limit.bytes {
                    swap(&reader, &readers[index])
                    return .hasMore
                }
            }
        } catch {
            throw Problem(BackendError(error))
        }
        // Behind the last batch, also where compaction or a control batch left no record in it.
        positions[index].next = max(positions[index].next, reader.nextOffset)
        return nil
    }

    /// Reads batches from the position, if that is possible at once: whether there were none.
    private mutating func readNow(_ index: Int, _ byteCount: Int) throws(Problem) -> Bool? {
        while true {
            let position = positions[index]
            do throws(BackendError) {
                let fetched = try position.topic.readNow(
                    position.partition, from: position.next, maxBytes: byteCount)
                return fetched.map { keep($0, index) }
            } catch { try follow(error, index) }
        }
    }

    /// The same from a disk that takes its time.
    @inline(never)
    private mutating func read(_ index: Int, _ byteCount: Int) async throws(Problem) {
        let position = positions[index]
        do throws(BackendError) {
            let fetched = try await position.topic.read(
                position.partition, from: position.next, maxBytes: byteCount)
            if keep(fetched, index) { progress.goOn() }
        } catch { try follow(error, index) }
    }

    private mutating func keep(_ fetched: Fetched, _ index: Int) -> Bool {
        highWatermarks[index] = fetched.bounds.highWatermark
        readers[index] = RecordBatchReader(fetched.batches, areChecked: true)
        return fetched.batches.isEmpty
    }

    /// Goes on at the log's start where the position does; else the problem.
    private mutating func follow(_ error: BackendError, _ index: Int) throws(Problem) {
        guard case .offsetTrimmed(let earliest) = error, positions[index].followsStart else {
            throw problem(error, positions[index])
        }
        positions[index].next = earliest
    }

    /// Says where, if several topics are read.
    private func problem(_ error: BackendError, _ position: ReadPosition) -> Problem {
        var problem = Problem(error)
        if tag == nil {
            problem.members.append((name: "topic", value: .string(position.topic.name)))
            problem.members.append((name: "partition", value: .integer(Int64(position.partition))))
        }
        return problem
    }

    private mutating func writeEventHead(_ record: Record, _ index: Int) {
        writer.bytes.append(contentsOf: "event: record\n".utf8)
        if positions.count <= Limits.cursorPerEventPartitions {
            let before = positions[index].next
            positions[index].next = record.offset.next
            writeEventID()
            positions[index].next = before
        }
        writer.bytes.append(contentsOf: "data: ".utf8)
    }

    /// The line that carries the cursor, so that a client resumes with `Last-Event-ID`.
    mutating func writeEventID() {
        writer.bytes.append(contentsOf: "id: ".utf8)
        cursor.write(to: &writer.bytes)
        writer.endLine()
    }

    /// Gives the last event of a burst the cursor, where not every event carries it.
    mutating func moveCursorIntoLastEvent() {
        writer.bytes.removeLast()
        writeEventID()
        writer.endLine()
    }

    // MARK: - Order and outcome

    /// All positions, beginning at one that the positions choose, and no two reads in a row alike.
    private func order() -> [Int] {
        let count = positions.count
        if count <= 1 { return Array(0..<count) }
        var mixed = positions.reduce(UInt64(count)) { $0 &+ UInt64(bitPattern: $1.next.value) }
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        let first = Int((mixed ^ (mixed >> 31)) % UInt64(count))
        return Array(first..<count) + Array(0..<first)
    }

    private func outcome(isFull: Bool) throws(Problem) -> Outcome {
        var outcome = Outcome(
            recordCount: recordCount, caughtUp: failure == nil,
            isFull: isFull && failure == nil, failure: failure)
        for (position, read) in zip(positions, highWatermarks) {
            let highWatermark: Offset
            if let read {
                highWatermark = read
            } else {
                do throws(BackendError) {
                    highWatermark = try position.topic.bounds(position.partition).highWatermark
                } catch {
                    let problem = Problem(error)
                    guard problem.code == .partitionFailed else { throw problem }
                    outcome.failure = outcome.failure ?? Failure(problem)
                    outcome.caughtUp = false
                    continue
                }
            }
            if position.next < highWatermark {
                outcome.caughtUp = false
            } else {
                outcome.isFull = false
            }
        }
        if !isMember { try outcome.check() }
        return outcome
    }
}
