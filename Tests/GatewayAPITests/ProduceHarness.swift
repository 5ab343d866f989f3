import Backends
import GatewayAPI
import HTTPServer
import LogEngine
import Platform
import Synchronization
import TestSupport

/// A topic in memory that fails when and where a test says.
final class MemoryTopic: Topic {
    struct State {
        var batches: [[[UInt8]]]
        var ends: [Int64]
        var configuration = TopicConfiguration()
        var appendErrors: [Int: BackendError] = [:]
        var acknowledgeErrors: [Int: BackendError] = [:]
        /// Who waits to be acknowledged, while `holdsAcknowledgements`.
        var holdsAcknowledgements = false
        var waiting: [Wakeup] = []
        var tables: [Int: ProducerTable] = [:]
    }

    let name: String
    let topicID = "00000000-0000-4000-8000-000000000001"
    let state: Mutex<State>

    init(_ name: String, partitionCount: Int) {
        self.name = name
        state = Mutex(
            State(
                batches: .init(repeating: [], count: partitionCount),
                ends: .init(repeating: 0, count: partitionCount)))
    }

    var partitionCount: Int { state.withLock { $0.ends.count } }
    var configuration: TopicConfiguration { state.withLock { $0.configuration } }
    var recordCount: Int64 { state.withLock { $0.ends.reduce(0, +) } }

    func append(
        _ batch: consuming RecordBatchBuilder, to partition: Int, acks: Acks
    ) throws(BackendError) -> AppendTicket {
        let count = batch.recordCount
        var bytes = batch.finish()
        return try state.withLock { (state) throws(BackendError) in
            if let error = state.appendErrors[partition] { throw error }
            let base = state.ends[partition]
            bytes.setBigEndian(base, at: 0)
            state.batches[partition].append(bytes)
            state.ends[partition] += Int64(count)
            return AppendTicket(
                partition: partition, baseOffset: Offset(base), recordCount: count, acks: acks)
        }
    }

    func append(
        _ batch: consuming RecordBatchBuilder, to partition: Int, acks: Acks,
        under rules: AppendRules
    ) throws(BackendError) -> AppendTicket {
        let count = batch.recordCount
        let known = try state.withLock { (state) throws(BackendError) -> Offset? in
            guard let identity = rules.identity else { return nil }
            do throws(IdentityRefusal) {
                let verdict = try state.tables[partition, default: ProducerTable()].judge(
                    identity, recordCount: count, isRetry: rules.isRetry)
                if case .duplicate(let offset) = verdict { return offset }
                return nil
            } catch { throw .identity(error) }
        }
        if let known {
            var ticket = AppendTicket(
                partition: partition, baseOffset: known, recordCount: count, acks: acks)
            ticket.isReplay = true
            return ticket
        }
        let end = Offset(state.withLock { $0.ends[partition] })
        if let wanted = rules.endOffset, wanted != end {
            throw .endOffsetMismatch(endOffset: end)
        }
        batch.identity = rules.identity
        let ticket = try append(batch, to: partition, acks: acks)
        if let identity = rules.identity {
            state.withLock {
                $0.tables[partition, default: ProducerTable()].note(
                    identity, at: ticket.baseOffset, recordCount: count,
                    now: Instant(nanoseconds: 0))
            }
        }
        return ticket
    }

    func traces(ofKey id: Int64) throws(BackendError) -> [KeyTrace] {
        state.withLock { state in
            state.tables.sorted { $0.key < $1.key }.compactMap { $0.value.trace(ofKey: id) }
        }
    }

    func acknowledge(_ ticket: AppendTicket) async throws(BackendError) -> Offset {
        let wakeup = Wakeup()
        let mustWait = state.withLock {
            if $0.holdsAcknowledgements { $0.waiting.append(wakeup) }
            return $0.holdsAcknowledgements
        }
        if mustWait { await wakeup.wait() }
        if let error = state.withLock({ $0.acknowledgeErrors[ticket.partition] }) { throw error }
        return ticket.baseOffset
    }

    func letAcknowledge() {
        let waiting = state.withLock {
            $0.holdsAcknowledgements = false
            return $0.waiting
        }
        for wakeup in waiting { wakeup.wake() }
    }

    func bounds(_ partition: Int) throws(BackendError) -> PartitionBounds {
        let end = Offset(state.withLock { $0.ends[partition] })
        return PartitionBounds(logStart: Offset(0), highWatermark: end, logEnd: end)
    }

    func readNow(
        _ partition: Int, from offset: Offset, maxBytes: Int
    ) throws(BackendError) -> Fetched? { nil }

    func read(
        _ partition: Int, from offset: Offset, maxBytes: Int
    ) async throws(BackendError) -> Fetched {
        let batches = state.withLock { $0.batches[partition] }
        let isAtEnd = try offset == bounds(partition).logEnd
        return Fetched(
            batches: isAtEnd ? [] : Array(batches.joined()), bounds: try bounds(partition))
    }

    func describe() async throws(BackendError) -> TopicDescription {
        TopicDescription(
            name: name, topicID: topicID, configuration: configuration, partitions: [])
    }

    func offset(_ partition: Int, atOrAfter timestamp: Int64) async throws(BackendError) -> Offset {
        Offset(0)
    }

    func deleteRecords(_ partition: Int, before offset: Offset) async throws(BackendError) -> Offset
    {
        offset
    }

    func watch(
        _ partition: Int, past offset: Offset, _ wakeup: Wakeup
    ) throws(BackendError) -> WatchID {
        wakeup.wake()
        return WatchID(0)
    }

    func unwatch(_ partition: Int, _ id: WatchID) {}
}

/// Topics in memory.
final class MemoryBackend: Backend {
    struct NoState: StateLog {
        var shardCount: Int { 1 }
        func append(
            _ records: [StateRecord], to shard: Int
        ) throws(BackendError) -> StateTicket { throw .notReady("no state") }
        func durable(_ ticket: StateTicket) async throws(BackendError) {}
        func replay(
            _ shard: Int, _ body: ([StateRecord]) -> Void
        ) async throws(BackendError) {}
    }

    let all = Mutex<[String: MemoryTopic]>([:])

    var isReady: Bool { true }
    var stateLog: any StateLog { NoState() }
    func topics() async throws(BackendError) -> [TopicDescription] { [] }
    func statistics() -> BackendStatistics { BackendStatistics() }
    func observeTopics(_ observer: @escaping @Sendable (String) -> Void) {}

    func topic(_ name: String) throws(BackendError) -> any Topic {
        guard let topic = all.withLock({ $0[name] }) else { throw .unknownTopic(name) }
        return topic
    }

    func createTopic(
        _ name: String, partitionCount: Int, configuration: TopicConfiguration
    ) async throws(BackendError) -> (topic: any Topic, created: Bool) {
        let topic = MemoryTopic(name, partitionCount: partitionCount)
        all.withLock { $0[name] = topic }
        return (topic, true)
    }

    func alterTopic(
        _ name: String, _ change: TopicChange
    ) async throws(BackendError) -> any Topic { throw .unknownTopic(name) }
    func deleteTopic(_ name: String) async throws(BackendError) {}
}

/// The gateway on a real socket over topics in memory.
final class ProduceHarness: Sendable {
    let backend = MemoryBackend()
    let topic: MemoryTopic
    let time = ManualTime()
    let server: Server
    let port: UInt16

    init(
        partitions: Int = 1, _ change: (inout GatewayConfiguration) -> Void = { _ in }
    ) throws {
        topic = MemoryTopic("t", partitionCount: partitions)
        let topic = topic
        backend.all.withLock { $0["t"] = topic }
        var configuration = GatewayConfiguration()
        change(&configuration)
        let gateway = Gateway(
            backend: backend, coordinator: GroupCoordinator(backend, time: time, random: { 7 }),
            configuration: configuration, time: time)
        var listening = Server.Configuration()
        listening.port = 0
        listening.loopCount = 1
        server = Server(listening, handler: gateway, time: SystemTime())
        port = UInt16(try server.start().split(separator: ":").last!)!
    }

    deinit { server.stop() }

    struct Answer {
        var status: Int
        var head: String
        var body: String
    }

    /// Posts to the topic; `head` is further header lines, each with CR LF.
    func produce(
        _ body: [UInt8], type: String? = "application/json", query: String = "", head: String = "",
        topic: String = "t"
    ) -> Answer {
        let type = type.map { "Content-Type: \($0)\r\n" } ?? ""
        return exchange(
            "POST /v1/topics/\(topic)/records\(query) HTTP/1.1\r\n\(type)\(head)"
                + "Content-Length: \(body.count)\r\n", body)
    }

    func produce(
        _ body: String, type: String? = "application/json", query: String = "", head: String = "",
        topic: String = "t"
    ) -> Answer {
        produce(Array(body.utf8), type: type, query: query, head: head, topic: topic)
    }

    /// The records of a partition, as the page shows them.
    func records(_ partition: Int = 0) -> String {
        let body = exchange(
            "GET /v1/topics/t/partitions/\(partition)/records?offset=0 HTTP/1.1\r\n", []
        ).body
        let end = body.range(of: #"],"cursor""#)?.lowerBound ?? body.endIndex
        return String(body[..<end].dropFirst(#"{"records":["#.count))
    }

    func exchange(_ head: String, _ body: [UInt8]) -> Answer {
        let client = RawClient(port: port)
        client.send(Array("\(head)Host: a\r\nConnection: close\r\n\r\n".utf8) + body)
        return Self.answer(client.receiveAll())
    }

    static func answer(_ bytes: [UInt8]) -> Answer {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.range(of: "\r\n\r\n") else {
            return Answer(status: -1, head: text, body: "")
        }
        let head = String(text[..<end.lowerBound])
        var body = String(text[end.upperBound...])
        if head.contains("transfer-encoding: chunked") { body = joined(chunks: body) }
        return Answer(
            status: Int(head.split(separator: " ")[1]) ?? -1, head: head, body: body)
    }

    private static func joined(chunks: String) -> String {
        var rest = Array(chunks.utf8)[...]
        var body: [UInt8] = []
        while let end = rest.firstIndex(of: 0x0D),
            let count = Int(
                String(decoding: rest[rest.startIndex..<end], as: UTF8.self), radix: 16),
            count > 0, rest.count >= count
        {
            body += rest[(end + 2)..<(end + 2 + count)]
            rest = rest[(end + 4 + count)...]
        }
        return String(decoding: body, as: UTF8.self)
    }
}

extension String {
    /// Where `text` stands first (of ASCII; no Foundation).
    func range(of text: String) -> Range<String.Index>? {
        let (mine, wanted) = (Array(utf8), Array(text.utf8))
        guard mine.count >= wanted.count else { return nil }
        for start in 0...(mine.count - wanted.count)
        where mine[start..<(start + wanted.count)].elementsEqual(wanted) {
            return utf8.index(
                startIndex, offsetBy: start)..<utf8.index(
                    startIndex, offsetBy: start + wanted.count)
        }
        return nil
    }
}
