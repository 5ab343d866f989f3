package import Backends
import JSON

/// What became of the batches of a request, or of a part of one.
package struct ProduceOutcome: Sendable {
    /// A batch's fate. `offset` is that of its first record; nil where it is not known (acks none)
    /// or the batch failed.
    package struct Batch: Sendable {
        package var partition: Int
        package var recordCount: Int
        package var offset: Offset?
        package var error: BackendError?
    }

    package private(set) var batches: [Batch] = []
    /// Where each record went; empty where all are in the one batch.
    private let places: [PartitionedRecords.Place]
    package let recordCount: Int

    /// Appends every batch, then waits for each to be acknowledged as `acks` asks.
    package static func produce(
        _ records: inout PartitionedRecords, to topic: any Topic, acks: Acks
    ) async -> ProduceOutcome {
        var pending = PendingBatches(appending: &records, to: topic, acks: acks)
        return await pending.outcome(topic)
    }

    init(batches: [Batch], places: [PartitionedRecords.Place], recordCount: Int) {
        self.batches = batches
        self.places = places
        self.recordCount = recordCount
    }

    /// Of a request whose one batch was not appended.
    init(failed error: BackendError, partition: Int, recordCount: Int) {
        let batch = Batch(
            partition: partition, recordCount: recordCount, offset: nil, error: error)
        self.init(batches: [batch], places: [], recordCount: recordCount)
    }

    private func place(_ record: Int) -> PartitionedRecords.Place {
        places.isEmpty ? PartitionedRecords.Place(batch: 0, index: record) : places[record]
    }

    /// The first record, in the order of the request, that was not appended.
    package var firstFailure: (record: Int, error: BackendError)? {
        guard batches.contains(where: { $0.error != nil }) else { return nil }
        for record in 0..<recordCount {
            if let error = batches[place(record).batch].error { return (record, error) }
        }
        return nil
    }

    // MARK: - As JSON

    /// `{"offsets":[{"partition":2,"offset":17},…]}`.
    package func offsets() -> [UInt8] {
        var writer = JSONWriter()
        writer.bytes.reserveCapacity(16 + 36 * recordCount)
        writer.beginObject()
        writer.name("offsets")
        writer.beginArray()
        for record in 0..<recordCount { writeFate(record, to: &writer) }
        writer.endArray()
        writer.endObject()
        return writer.bytes
    }

    /// `{"partition":2,"offset":17}`, or `{"partition":2,"code":"storage-full"}`.
    func writeFate(_ record: Int, to writer: inout JSONWriter) {
        let place = place(record)
        let batch = batches[place.batch]
        writer.beginObject()
        writer.name("partition")
        writer.integer(Int64(batch.partition))
        if let offset = batch.offset {
            writer.name("offset")
            writer.integer(offset.value &+ Int64(place.index))
        } else if let error = batch.error {
            writer.name("code")
            writer.string(Problem(error).code.rawValue)
        }
        writer.endObject()
    }

    /// The problem of a request that was not wholly appended: that of its first error, with
    /// `results` in the place of `offsets` where there is more than one record. With `isKeyed` a
    /// repeated request appends only what is not there yet.
    package func problem(isKeyed: Bool = false) -> Problem? {
        guard let (record, error) = firstFailure else { return nil }
        var problem = Problem(error)
        guard recordCount > 1 else { return problem }
        if !isKeyed, batches.contains(where: { $0.error == nil }) {
            problem.isPartial = true
            problem.detail +=
                " Some of the records were appended, as `results` says; send the others only."
        }
        var writer = JSONWriter()
        writer.beginArray()
        for index in 0..<recordCount { writeFate(index, to: &writer) }
        writer.endArray()
        problem.members.append(("recordIndex", .integer(Int64(record))))
        problem.members.append(("results", .raw(writer.bytes)))
        return problem
    }
}

/// Batches in their partitions' order, not yet acknowledged.
package struct PendingBatches: Sendable {
    package let recordCount: Int
    private let places: [PartitionedRecords.Place]
    private let acks: Acks
    private var batches: [ProduceOutcome.Batch] = []
    /// Of each batch; nil where the append failed.
    private var tickets: [AppendTicket?] = []

    /// Puts each batch in its partition's order, without waiting.
    package init(
        appending records: inout PartitionedRecords, to topic: any Topic, acks: Acks,
        under rules: AppendRules? = nil
    ) {
        recordCount = records.recordCount
        places = records.places
        self.acks = acks
        for index in 0..<records.batchCount {
            let partition = records.partition(ofBatch: index)
            let batch = records.takeBatch(index)
            var outcome = ProduceOutcome.Batch(
                partition: partition, recordCount: batch.recordCount, offset: nil, error: nil)
            do throws(BackendError) {
                if let rules {
                    tickets.append(
                        try topic.append(batch, to: partition, acks: acks, under: rules))
                } else {
                    tickets.append(try topic.append(batch, to: partition, acks: acks))
                }
            } catch {
                outcome.error = error
                tickets.append(nil)
            }
            batches.append(outcome)
        }
    }

    /// Whether an append failed at once.
    package var hasFailed: Bool { batches.contains { $0.error != nil } }

    /// Whether a batch was there already.
    var hasReplayed: Bool { tickets.contains { $0?.isReplay == true } }

    /// Returns when every batch is acknowledged or has failed; with acks none at once.
    package mutating func outcome(_ topic: any Topic) async -> ProduceOutcome {
        for index in batches.indices {
            guard acks != .none, let ticket = tickets[index] else { continue }
            do throws(BackendError) {
                batches[index].offset = try await topic.acknowledge(ticket)
            } catch {
                batches[index].error = error
            }
        }
        return ProduceOutcome(batches: batches, places: places, recordCount: recordCount)
    }
}
