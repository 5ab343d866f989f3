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
    }

    private(set) var positions: [ReadPosition]
    /// The tag of cursors; nil where they name their topics.
    let tag: String?
    private let tags: [String]
    let form: Form
    var writer = JSONWriter()

    private var renderers: [RecordJSON]
    /// What was read and is not yet rendered; empty ones hold no memory while a stream waits.
    private var readers: [RecordBatchReader]
    private var highWatermarks: [Offset?]
    private var recordCount = 0
    /// Where in `writer` other requests come next.
    private var turnEnd = 0

    init(_ positions: [ReadPosition], tag: String?, form: Form) {
        self.positions = positions
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
    mutating func fill(
        _ budget: Budget, for exchange: Exchange
    ) async throws(Problem) -> Outcome {
        if isAtEnd { return Outcome() }
        let bytes = exchange.reserveAnswer(atMost: budget.bytes)
        defer { exchange.releaseAnswer(bytes) }
        return try await fill(Budget(records: budget.records, bytes: bytes), exchange)
    }

    /// Told apart first: the frames of a read would stay with the task of who waits, 2 KiB, as they
    /// do with one that has read before.
    private var isAtEnd: Bool {
        positions.allSatisfy { (try? $0.topic.isAtEnd($0.partition, $0.next)) == true }
    }

    private mutating func fill(
        _ budget: Budget, _ exchange: Exchange
    ) async throws(Problem) -> Outcome {
        let bytesBefore = writer.bytes.count
        turnEnd = bytesBefore + Limits.bytesPerTurn
        recordCount = 0
        var open = order()
        for index in open { highWatermarks[index] = nil }
        while !open.isEmpty, recordCount < budget.records {
            var stillOpen: [Int] = []
            for (place, index) in open.enumerated() {
                let left = open.count - place
                let written = writer.bytes.count - bytesBefore
                if recordCount == budget.records || recordCount > 0 && written >= budget.bytes {
                    return try outcome(isFull: true)
                }
                let share = Budget(
                    records: max(1, (budget.records - recordCount) / left),
                    bytes: max(1, (budget.bytes - written) / left))
                let pageEnd = bytesBefore + budget.bytes
                switch try await take(index, share, pageEnd: pageEnd, exchange) {
                case .emptied: break
                case .hasMore: stillOpen.append(index)
                case .pageFull: return try outcome(isFull: true)
                }
            }
            open = stillOpen
        }
        return try outcome(isFull: !open.isEmpty)
    }

    private enum Taken { case emptied, hasMore, pageFull }

    /// Renders records of one partition within its share; `pageEnd` is where the page must end
    /// unless it holds but one record.
    private mutating func take(
        _ index: Int, _ share: Budget, pageEnd: Int, _ exchange: Exchange
    ) async throws(Problem) -> Taken {
        let recordLimit = recordCount + share.records
        let byteLimit = writer.bytes.count + share.bytes
        while true {
            if writer.bytes.count >= turnEnd {
                await exchange.nextTurn()
                turnEnd = writer.bytes.count + Limits.bytesPerTurn
            }
            while let record = try nextRecord(index) {
                let before = writer.bytes.count
                render(record, index)
                if writer.bytes.count > pageEnd, recordCount > 0 {
                    writer.bytes.removeLast(writer.bytes.count - before)
                    readers[index] = RecordBatchReader([])
                    return .pageFull
                }
                positions[index].next = record.offset.next
                recordCount += 1
                if recordCount == recordLimit || writer.bytes.count >= byteLimit { return .hasMore }
            }
            guard try await fetch(index, share) else { return .emptied }
        }
    }

    /// The next record at or behind the position; nil, with the reader empty, at the end of what
    /// was read.
    private mutating func nextRecord(_ index: Int) throws(Problem) -> Record? {
        do {
            while let record = try readers[index].next() {
                if record.offset >= positions[index].next { return record }
            }
        } catch {
            throw Problem(BackendError(error))
        }
        // Behind the last batch, also where compaction or a control batch left no record in it.
        positions[index].next = max(positions[index].next, readers[index].nextOffset)
        readers[index] = RecordBatchReader([])
        return nil
    }

    /// Reads batches from the position; false where nothing is below the high watermark.
    private mutating func fetch(_ index: Int, _ share: Budget) async throws(Problem) -> Bool {
        // What a page does not take is read and checked in vain; what it lacks is fetched next.
        let byteCount = min(
            Limits.fetchBytes,
            max(4096, min(share.bytes, share.records &* Limits.fetchBytesPerRecord)))
        while true {
            let position = positions[index]
            do throws(BackendError) {
                let fetched = try await position.topic.read(
                    position.partition, from: position.next, maxBytes: byteCount)
                highWatermarks[index] = fetched.bounds.highWatermark
                if fetched.batches.isEmpty { return false }
                readers[index] = RecordBatchReader(fetched.batches)
                return true
            } catch {
                guard case .offsetTrimmed(let earliest) = error, position.followsStart else {
                    throw problem(error, position)
                }
                positions[index].next = earliest
            }
        }
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

    private mutating func render(_ record: Record, _ index: Int) {
        if form == .event {
            writer.bytes.append(contentsOf: "event: record\n".utf8)
            if positions.count <= Limits.cursorPerEventPartitions {
                let before = positions[index].next
                positions[index].next = record.offset.next
                writeEventID()
                positions[index].next = before
            }
            writer.bytes.append(contentsOf: "data: ".utf8)
        }
        renderers[index].write(record, of: readers[index], to: &writer)
        if form != .page { writer.endLine() }
        if form == .event { writer.endLine() }
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
        var outcome = Outcome(recordCount: recordCount, caughtUp: true, isFull: isFull)
        for (position, read) in zip(positions, highWatermarks) {
            let highWatermark: Offset
            if let read {
                highWatermark = read
            } else {
                do {
                    highWatermark = try position.topic.bounds(position.partition).highWatermark
                } catch {
                    throw Problem(error)
                }
            }
            if position.next < highWatermark {
                outcome.caughtUp = false
            } else {
                outcome.isFull = false
            }
        }
        return outcome
    }
}
