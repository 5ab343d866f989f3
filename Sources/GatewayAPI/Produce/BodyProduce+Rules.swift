import Backends
import HTTPServer

/// A produce with an `Idempotency-Key`, a producer's sequence number, or an end offset to meet.
extension BodyProduce {
    func answer(under rules: ProduceRules) async throws(Problem) -> Response {
        guard let key = rules.key else {
            let identity = rules.producer.map { BatchIdentity.producer($0) }
            var records = try records(plainRules)
            try checkPlace(records)
            return try await append(
                &records, AppendRules(identity: identity, endOffset: rules.endOffset))
        }
        let request = KeyedRequest(
            key: key, of: grant?.principal.name, head, form, options, body: body)
        let place = KeyGate.Place(topicID: topic.topicID, key: request.id)
        await route.keyGate.enter(place)
        defer { route.keyGate.leave(place) }
        // The wait was as long as an earlier try took; what was revoked meanwhile appends nothing.
        guard grant?.isValid(at: route.time.wallMilliseconds()) ?? true else {
            throw Problem(
                .unauthenticated,
                "The token ended while an earlier try of this Idempotency-Key was on its way. "
                    + "Nothing was appended by this one.")
        }
        return try await answer(request, endOffset: rules.endOffset)
    }

    /// Sequence numbers and end offsets are of one partition.
    private func checkPlace(_ records: borrowing PartitionedRecords) throws(Problem) {
        guard records.batchCount == 1, records.partition(ofBatch: 0) == options.partition else {
            throw Problem(
                .invalidField,
                "With a producer's sequence number or an end offset there is at least one record, "
                    + "and all go to the partition that the query names.",
                [("field", .string("partition"))])
        }
    }

    /// Puts the records where the first try put them, or would have: what stands there already is
    /// left, what is missing is appended.
    private func answer(
        _ request: KeyedRequest, endOffset: Offset?
    ) async throws(Problem) -> Response {
        var traces: [KeyTrace] = []
        do throws(BackendError) { traces = try topic.traces(ofKey: request.id) } catch {
            // Where the query names another partition, the key's traces are in that one.
            guard case .partitionFailed = error, let partition = options.partition,
                (try? topic.bounds(partition)) != nil
            else { throw Problem(error) }
        }
        guard traces.allSatisfy({ $0.stamp.fingerprint == request.fingerprint }) else {
            throw Problem(IdentityRefusal.keyReused)
        }
        let stamp =
            traces.first?.stamp
            ?? KeyStamp(
                id: request.id, partitionCount: Int16(clamping: topic.partitionCount),
                fingerprint: request.fingerprint, firstTried: route.time.wallMilliseconds())
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
        placing.keepTrace(of: head)
        var records = try records(placing)
        if endOffset != nil { try checkPlace(records) }
        return try await append(
            &records,
            AppendRules(identity: .key(stamp), isRetry: !traces.isEmpty, endOffset: endOffset))
    }

    private func append(
        _ records: inout PartitionedRecords, _ rules: AppendRules
    ) async throws(Problem) -> Response {
        var pending = PendingBatches(
            appending: &records, to: topic, acks: options.acks, under: rules)
        let outcome = await pending.outcome(topic)
        if let problem = outcome.problem(isKeyed: true) { throw problem }
        var response = options.acks == .none ? accepted() : answer(outcome.offsets())
        if pending.hasReplayed { response.fields.append(("idempotent-replayed", "true")) }
        return response
    }
}
