import Access
import Backends
import HTTPServer
import JSON
import Platform

/// One produce whose body is there, whole: all of it is checked before anything is appended.
///
/// It knows nothing of the exchange, so that a large one can run beside the event loop.
struct BodyProduce: Sendable {
    let route: ProduceRoute
    let topic: any Topic
    let form: ProduceForm
    let options: ProduceOptions
    let rules: ProduceRules?
    let head: RequestHead
    /// Of who asks; nil where everyone may do everything.
    let grant: Grant?
    let now: Instant
    let body: [UInt8]

    // MARK: - Hot path

    func answer() async throws(Problem) -> Response {
        if let rules { return try await answer(under: rules) }
        return try await append(records(plainRules))
    }

    /// The rules for records where no key or sequence has a say.
    var plainRules: PartitionedRecords.Rules {
        var placing = PartitionedRecords.Rules(options, topic, route.partitioner, now, route.time)
        placing.keepTrace(of: head)
        return placing
    }

    /// The records of the body, each in its partition's batch.
    func records(
        _ placing: PartitionedRecords.Rules
    ) throws(Problem) -> PartitionedRecords {
        var records = PartitionedRecords(placing)
        switch form {
        case .records, .lines: try RecordsBody.parse(body, topic: topic.name, into: &records)
        case .event: try EventsBody.parseOne(body, into: &records)
        case .events: try EventsBody.parseBatch(body, into: &records)
        case .binaryEvent:
            var decoded: [UInt8] = []
            let record = try CloudEventHeaders.record(head, body: body, decoded: &decoded)
            try add(record, decoded, &records)
        case .raw:
            var record = ParsedRecord()
            record.value = .given(0..<body.count)
            if let type = head.value(of: .contentType) {
                let name = CloudEvent.contentTypeName
                record.headers.append(name: name.span, value: head.bytes.span.extracting(type))
            }
            try add(record, [], &records)
        }
        return records
    }

    /// Appends, waits as `acks` says, and makes the answer. One batch, as nearly always, builds no
    /// array but the answer.
    private func append(_ given: consuming PartitionedRecords) async throws(Problem) -> Response {
        var records = given
        let acks = options.acks
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

    func answer(_ body: [UInt8]) -> Response {
        Response(status: 200, contentType: "application/json", body: body)
    }

    /// With acks none nothing is known that could be told.
    func accepted() -> Response { Response(status: 202, contentType: nil) }

    private func add(
        _ record: ParsedRecord, _ decoded: [UInt8], _ records: inout PartitionedRecords
    ) throws(Problem) {
        do throws(PayloadFault) {
            try records.add(record, given: body, decoded: decoded)
        } catch { throw error.problem(.record(0)) }
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
