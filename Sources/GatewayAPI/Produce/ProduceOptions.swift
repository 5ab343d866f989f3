import Backends
import HTTPServer

/// What the query of a produce says.
struct ProduceOptions {
    var acks = Acks.all
    /// Of records that name none themselves.
    var partition: Int?
    /// Of records that have none themselves.
    var key: [UInt8]?

    init(_ query: Query) throws(Problem) {
        switch try query.choice("acks", of: ["all", "leader", "none"]) {
        case 1: acks = .leader
        case 2: acks = .none
        default: acks = .all
        }
        partition = try query.integer("partition", in: 0...Int64(Int32.max)).map { Int($0) }
        key = query.bytes("key")
    }
}

/// What a produce's body is, by its Content-Type and `ce-*` fields.
enum ProduceForm {
    case records, lines, event, events
    /// `ce-*` fields and data of any type.
    case binaryEvent
    /// One record's value.
    case raw

    /// Throws for what may not be misread as a plain value: another charset than UTF-8 where the
    /// body is JSON, and formats of CloudEvents that are not known here.
    init(_ head: borrowing RequestHead) throws(Problem) {
        let bytes = head.bytes
        let media = head.value(of: .contentType).flatMap { MediaType(bytes, in: $0) }
        var form = ProduceForm.raw
        if let essence = media?.essence {
            if isText(bytes, essence, "application/json") {
                form = .records
            } else if isText(bytes, essence, "application/x-ndjson") {
                form = .lines
            } else if isText(bytes, essence, "application/cloudevents+json") {
                form = .event
            } else if isText(bytes, essence, "application/cloudevents-batch+json") {
                form = .events
            } else if isCloudEvents(bytes, essence) {
                throw Problem(
                    .unsupportedMediaType,
                    "Of the formats of CloudEvents, application/cloudevents+json and "
                        + "application/cloudevents-batch+json are taken.")
            }
        }
        // HTTP binding §3: the structured modes go by their media type, all else by the fields.
        switch form {
        case .event, .events: break
        case .records, .lines, .raw, .binaryEvent:
            if CloudEventHeaders.stand(in: head) { form = .binaryEvent }
        }
        self = form
        if form == .raw || form == .binaryEvent { return }
        guard media?.isUTF8(bytes) ?? true else {
            throw Problem(
                .unsupportedMediaType, "JSON is UTF-8 (RFC 8259 §8.1); send no other charset.")
        }
    }
}

/// `application/cloudevents` with whatever behind it.
private func isCloudEvents(_ bytes: [UInt8], _ essence: Range<Int>) -> Bool {
    let name = "application/cloudevents"
    return essence.count >= name.utf8.count
        && isText(bytes, essence.lowerBound..<(essence.lowerBound + name.utf8.count), name)
}
