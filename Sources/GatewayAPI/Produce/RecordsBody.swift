import Backends
import JSON

/// The body `{"records":[…]}`.
package enum RecordsBody {
    /// Sorts the records of `body` into `records`, or throws with the problem of the first that is
    /// wrong; then nothing may be appended.
    package static func parse(
        _ body: [UInt8], topic: String, into records: inout PartitionedRecords
    ) throws(Problem) {
        var isInRecord = false
        do throws(PayloadFault) {
            try parseDocument(body, topic, &records, &isInRecord)
        } catch {
            throw error.problem(isInRecord ? .record(records.recordCount) : .body)
        }
    }

    private static func parseDocument(
        _ body: [UInt8], _ topic: String, _ records: inout PartitionedRecords,
        _ isInRecord: inout Bool
    ) throws(PayloadFault) {
        var reader = JSONReader(body)
        var isFound = false
        try reader.openObject()
        while let name = try reader.takeMember() {
            try checkName(name, reader, isFound)
            isFound = true
            try parseRecords(&reader, topic, &records, &isInRecord)
        }
        guard isFound else {
            throw PayloadFault(
                .missingField, "the body is {\"records\":[{\"value\":…}]}.", at: 0,
                field: "records")
        }
        try reader.takeEnd()
    }

    private static func checkName(
        _ name: JSONString, _ reader: borrowing JSONReader, _ isFound: Bool
    ) throws(PayloadFault) {
        guard reader.matches(name, "records") else {
            throw PayloadFault(
                .unknownField, "the body has one member, records: {\"records\":[{\"value\":…}]}.",
                at: name.range.lowerBound,
                field: String(decoding: reader.bytes[name.range].prefix(64), as: UTF8.self))
        }
        guard !isFound else {
            throw PayloadFault(
                .invalidField, "it stands twice.", at: name.range.lowerBound, field: "records")
        }
    }

    // MARK: - Hot path

    private static func parseRecords(
        _ reader: inout JSONReader, _ topic: String, _ records: inout PartitionedRecords,
        _ isInRecord: inout Bool
    ) throws(PayloadFault) {
        try reader.openArray("records")
        var parser = RecordParser(topic: topic)
        while try reader.takeElement() {
            let position = reader.position
            isInRecord = true
            let record = try parser.parse(&reader)
            try records.add(record, given: reader.bytes, decoded: parser.decoded, at: position)
            isInRecord = false
        }
    }
}
