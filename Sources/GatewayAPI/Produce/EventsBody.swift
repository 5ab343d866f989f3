import Backends
import JSON

/// Bodies of CloudEvents in the JSON format: one event, or an array of them.
package enum EventsBody {
    /// `application/cloudevents+json`.
    package static func parseOne(
        _ body: [UInt8], into records: inout PartitionedRecords
    ) throws(Problem) {
        do throws(PayloadFault) {
            var reader = JSONReader(body)
            try parseEvent(&reader, &records)
            try reader.takeEnd()
        } catch { throw error.problem(.body) }
    }

    /// `application/cloudevents-batch+json`; each event becomes a record in structured mode, for
    /// the Kafka binding has no batches.
    package static func parseBatch(
        _ body: [UInt8], into records: inout PartitionedRecords
    ) throws(Problem) {
        var isInRecord = false
        do throws(PayloadFault) {
            var reader = JSONReader(body)
            try reader.openArray()
            while try reader.takeElement() {
                isInRecord = true
                try parseEvent(&reader, &records)
                isInRecord = false
            }
            try reader.takeEnd()
        } catch { throw error.problem(isInRecord ? .record(records.recordCount) : .body) }
    }

    private static func parseEvent(
        _ reader: inout JSONReader, _ records: inout PartitionedRecords
    ) throws(PayloadFault) {
        var decoded: [UInt8] = []
        let record = try CloudEvent.parse(&reader, decoded: &decoded)
        try records.add(record, given: reader.bytes, decoded: decoded, at: reader.position)
    }
}
