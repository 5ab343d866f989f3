import Backends
import HTTPServer
import JSON
import Platform

/// A produce with an `Idempotency-Key`, a producer's sequence number, or an end offset to meet.
extension ProduceRoute {
    func produce(
        _ exchange: Exchange, _ form: ProduceForm, to topic: any Topic, _ options: ProduceOptions,
        under rules: ProduceRules, body: [UInt8]
    ) async throws(Problem) -> Response {
        guard let key = rules.key else {
            return try await produceOnce(exchange, form, topic, options, rules, body)
        }
        let request = KeyedRequest(
            key: key, of: exchange.principalName, exchange.head, form, options, body: body)
        let place = KeyGate.Place(topicID: topic.topicID, key: request.id)
        await keyGate.enter(place)
        defer { keyGate.leave(place) }
        // The wait was as long as an earlier try took; what was revoked meanwhile appends nothing.
        guard exchange.caller?.grant.isValid(at: time.wallMilliseconds()) ?? true else {
            throw Problem(
                .unauthenticated,
                "The token ended while an earlier try of this Idempotency-Key was on its way. "
                    + "Nothing was appended by this one.")
        }
        return try await produceKeyed(exchange, form, topic, options, rules, body, request)
    }

    // MARK: - By producer, or by end offset

    private func produceOnce(
        _ exchange: Exchange, _ form: ProduceForm, _ topic: any Topic, _ options: ProduceOptions,
        _ rules: ProduceRules, _ body: [UInt8]
    ) async throws(Problem) -> Response {
        var placing = PartitionedRecords.Rules(options, topic, partitioner, exchange.now, time)
        placing.keepTrace(of: exchange.head)
        var records = PartitionedRecords(placing)
        try parse(body, form, exchange.head, topic.name, &records)
        guard records.batchCount == 1, records.partition(ofBatch: 0) == options.partition else {
            throw Problem(
                .invalidField,
                "With a producer's sequence number or an end offset there is at least one record, "
                    + "and all go to the partition that the query names.",
                [("field", .string("partition"))])
        }
        return try await append(
            &records, to: topic, options.acks,
            AppendRules(
                identity: rules.producer.map { .producer($0) }, endOffset: rules.endOffset))
    }

    // MARK: - By key

    /// Puts the records where the first try put them, or would have: what stands there already is
    /// left, what is missing is appended.
    private func produceKeyed(
        _ exchange: Exchange, _ form: ProduceForm, _ topic: any Topic, _ options: ProduceOptions,
        _ rules: ProduceRules, _ body: [UInt8], _ request: KeyedRequest
    ) async throws(Problem) -> Response {
        let traces: [KeyTrace]
        do { traces = try topic.traces(ofKey: request.id) } catch { throw Problem(error) }
        guard traces.allSatisfy({ $0.stamp.fingerprint == request.fingerprint }) else {
            throw Problem(IdentityRefusal.keyReused)
        }
        let stamp =
            traces.first?.stamp
            ?? KeyStamp(
                id: request.id, partitionCount: Int16(clamping: topic.partitionCount),
                fingerprint: request.fingerprint, firstTried: time.wallMilliseconds())
        let (configuration, partitionCount) = (
            topic.configuration, max(1, Int(stamp.partitionCount))
        )
        var placing = PartitionedRecords.Rules(
            partitionCount: partitionCount, partition: options.partition, key: options.key,
            keylessPartition: request.partition(of: partitionCount), now: stamp.firstTried,
            // What was taken once is not measured by limits that came later.
            maxRecordBytes: traces.isEmpty ? configuration.maxRecordBytes : .max,
            needsKeys: traces.isEmpty && configuration.cleanupPolicy == .compact)
        placing.fixesBaseTimestamp = true
        // No part of the fingerprint: a retry is a request of its own to those who trace.
        placing.keepTrace(of: exchange.head)
        var records = PartitionedRecords(placing)
        try parse(body, form, exchange.head, topic.name, &records)
        return try await append(
            &records, to: topic, options.acks,
            AppendRules(
                identity: .key(stamp), isRetry: !traces.isEmpty, endOffset: rules.endOffset))
    }

    private func append(
        _ records: inout PartitionedRecords, to topic: any Topic, _ acks: Acks,
        _ rules: AppendRules
    ) async throws(Problem) -> Response {
        var pending = PendingBatches(appending: &records, to: topic, acks: acks, under: rules)
        let outcome = await pending.outcome(topic)
        if let problem = outcome.problem() { throw problem }
        var response =
            acks == .none
            ? Response(status: 202, contentType: nil)
            : Response(status: 200, contentType: "application/json", body: outcome.offsets())
        if pending.hasReplayed { response.fields.append(("idempotent-replayed", "true")) }
        return response
    }
}
