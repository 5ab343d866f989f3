import Backends
import HTTPServer
import JSON
import Platform

/// `POST /v1/topics/{topic}/records`, in every form of body.
struct ProduceRoute: Sendable {
    private let backend: any Backend
    private let configuration: GatewayConfiguration
    let time: any TimeSource
    let partitioner = Partitioner()
    let keyGate = KeyGate()

    init(
        backend: any Backend, configuration: GatewayConfiguration, time: any TimeSource
    ) {
        self.backend = backend
        self.configuration = configuration
        self.time = time
    }

    // MARK: - Hot path

    /// Budget: 3 µs of our own code for one small record.
    func produce(
        _ exchange: Exchange, topic name: String, _ query: Query
    ) async throws(Problem) {
        let form = try ProduceForm(exchange.head)
        let wantsLines = try wantsLines(exchange.head, form)
        let options = try ProduceOptions(query)
        let rules = try ProduceRules(exchange.head, form, options)
        let mayCreate = exchange.operations(onTopic: name).contains(.create)
        let topic = try await topic(name, mayCreate: mayCreate)
        if let partition = options.partition, partition >= topic.partitionCount {
            throw Problem(
                BackendError.unknownPartition(partition, partitionCount: topic.partitionCount))
        }
        if form == .lines {
            let lines = LinesProduce(
                exchange, topic, options, partitioner, time, configuration.maxBodyBytes)
            return try await wantsLines ? lines.answerInLines() : lines.answerAtEnd()
        }
        let body: [UInt8]
        do { body = try await exchange.readBody(limit: configuration.maxBodyBytes) } catch {
            throw Problem(error)
        }
        if let rules {
            let answer = try await produce(
                exchange, form, to: topic, options, under: rules, body: body)
            return exchange.respond(answer)
        }
        var placing = PartitionedRecords.Rules(options, topic, partitioner, exchange.now, time)
        placing.keepTrace(of: exchange.head)
        var records = PartitionedRecords(placing)
        try parse(body, form, exchange.head, name, &records)
        exchange.respond(try await append(&records, to: topic, options.acks))
    }

    func parse(
        _ body: [UInt8], _ form: ProduceForm, _ head: borrowing RequestHead, _ topic: String,
        _ records: inout PartitionedRecords
    ) throws(Problem) {
        switch form {
        case .records, .lines: try RecordsBody.parse(body, topic: topic, into: &records)
        case .event: try EventsBody.parseOne(body, into: &records)
        case .events: try EventsBody.parseBatch(body, into: &records)
        case .binaryEvent:
            var decoded: [UInt8] = []
            let record = try CloudEventHeaders.record(head, body: body, decoded: &decoded)
            try add(record, body, decoded, &records)
        case .raw:
            var record = ParsedRecord()
            record.value = .given(0..<body.count)
            if let type = head.value(of: .contentType) {
                let name = CloudEvent.contentTypeName
                record.headers.append(name: name.span, value: head.bytes.span.extracting(type))
            }
            try add(record, body, [], &records)
        }
    }

    /// Appends, waits as `acks` says, and makes the answer. One batch, as nearly always, builds no
    /// array but the answer.
    private func append(
        _ records: inout PartitionedRecords, to topic: any Topic, _ acks: Acks
    ) async throws(Problem) -> Response {
        guard records.batchCount == 1 else {
            let outcome = await ProduceOutcome.produce(&records, to: topic, acks: acks)
            if let problem = outcome.problem() { throw problem }
            return acks == .none ? accepted() : answer(outcome.offsets())
        }
        let partition = records.partition(ofBatch: 0)
        let recordCount = records.recordCount
        do throws(BackendError) {
            let ticket = try topic.append(records.takeBatch(0), to: partition, acks: acks)
            if acks == .none { return accepted() }
            let offset = try await topic.acknowledge(ticket)
            return answer(offsets(from: offset.value, count: recordCount, partition: partition))
        } catch {
            throw ProduceOutcome(failed: error, partition: partition, recordCount: recordCount)
                .problem() ?? Problem(error)
        }
    }

    /// `{"offsets":[{"partition":2,"offset":17},…]}` for records of one batch.
    private func offsets(from first: Int64, count: Int, partition: Int) -> [UInt8] {
        var writer = JSONWriter()
        writer.bytes.reserveCapacity(16 + 40 * count)
        writer.beginObject()
        writer.name("offsets")
        writer.beginArray()
        for index in 0..<count {
            writer.beginObject()
            writer.name("partition")
            writer.integer(Int64(partition))
            writer.name("offset")
            writer.integer(first &+ Int64(index))
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
        return writer.bytes
    }

    private func answer(_ body: [UInt8]) -> Response {
        Response(status: 200, contentType: "application/json", body: body)
    }

    /// With acks none nothing is known that could be told.
    private func accepted() -> Response { Response(status: 202, contentType: nil) }

    private func add(
        _ record: ParsedRecord, _ body: [UInt8], _ decoded: [UInt8],
        _ records: inout PartitionedRecords
    ) throws(Problem) {
        do throws(PayloadFault) {
            try records.add(record, given: body, decoded: decoded)
        } catch { throw error.problem(.record(0)) }
    }

    // MARK: - Before the body

    /// Whether acknowledgement lines are asked for; a problem where no form we have is accepted.
    private func wantsLines(
        _ head: borrowing RequestHead, _ form: ProduceForm
    ) throws(Problem) -> Bool {
        guard let first = head.value(of: .accept) else { return false }
        let bytes = head.bytes
        if isText(bytes, first, "*/*") || isText(bytes, first, "application/json") { return false }
        let lines = head.values(of: .accept)
        let namesLines = lines.contains { acceptNames(bytes, in: $0, "application/x-ndjson") }
        if form == .lines, namesLines { return true }
        let all = lines.map { String(decoding: bytes[$0], as: UTF8.self) }.joined(separator: ",")
        guard Accept(Array(all.utf8)[...]).best(of: ["application/json"]) == nil else {
            return false
        }
        throw Problem(
            .notAcceptable,
            "A produce is answered in application/json, or, where the body is "
                + "application/x-ndjson, in application/x-ndjson. Accept one of them.")
    }

    /// The topic, created where the operator lets the first produce do that.
    private func topic(_ name: String, mayCreate: Bool) async throws(Problem) -> any Topic {
        do throws(BackendError) { return try backend.topic(name) } catch {
            guard case .unknownTopic = error,
                let partitionCount = configuration.autoCreatePartitions, mayCreate
            else { throw Problem(error) }
            return try await createTopic(name, partitionCount)
        }
    }

    private func createTopic(_ name: String, _ partitionCount: Int) async throws(Problem)
        -> any Topic
    {
        try checkTopicName(name)
        do throws(BackendError) {
            return try await backend.createTopic(
                name, partitionCount: partitionCount, configuration: TopicConfiguration()
            ).topic
        } catch {
            // Someone else created it just now, as something else.
            guard case .topicExists = error else { throw Problem(error) }
        }
        do throws(BackendError) { return try backend.topic(name) } catch { throw Problem(error) }
    }
}

extension PartitionedRecords.Rules {
    mutating func keepTrace(of head: borrowing RequestHead) {
        if let trace = TraceContext.traceparent(head) { traceparent = Array(head.bytes[trace]) }
    }

    /// The rules of a request, or of a part of one, as it arrives.
    init(
        _ options: ProduceOptions, _ topic: any Topic, _ partitioner: Partitioner, _ now: Instant,
        _ time: any TimeSource
    ) {
        let (count, configuration) = (topic.partitionCount, topic.configuration)
        self.init(
            partitionCount: count, partition: options.partition, key: options.key,
            keylessPartition: partitioner.next(of: topic, count: count, now: now),
            now: time.wallMilliseconds(), maxRecordBytes: configuration.maxRecordBytes,
            needsKeys: configuration.cleanupPolicy == .compact)
    }
}
