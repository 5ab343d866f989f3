import Backends
import HTTPServer
import Platform

/// What the header fields of a produce ask beside appending: `Idempotency-Key`, `Producer-Id`,
/// `-Epoch` and `-Sequence`, `If-End-Offset`.
struct ProduceRules {
    /// The key as it came.
    var key: Range<Int>?
    var producer: ProducerSequence?
    var endOffset: Offset?

    /// nil where none of the fields is there, as nearly always.
    init?(
        _ head: borrowing RequestHead, _ form: ProduceForm, _ options: ProduceOptions
    ) throws(Problem) {
        key = head.value(of: .idempotencyKey)
        let hasProducer = Self.producerFields.contains { head.value(of: $0) != nil }
        let end = try Self.number(head, .ifEndOffset, through: .max)
        endOffset = end.map { Offset($0) }
        guard key != nil || hasProducer || end != nil else { return nil }
        if form == .lines {
            let field: FieldName =
                key != nil ? .idempotencyKey : hasProducer ? .producerID : .ifEndOffset
            throw Self.invalid(
                field,
                "An NDJSON body is appended as it comes, in many batches: the field "
                    + "\(field.text) takes a body that is appended at once, such as JSON.")
        }
        if let key, !(1...Limits.idempotencyKeyBytes).contains(key.count) {
            throw Self.invalid(
                .idempotencyKey,
                "An Idempotency-Key has 1 to \(Limits.idempotencyKeyBytes) characters.")
        }
        if hasProducer { producer = try Self.producer(head) }
        if key != nil, hasProducer {
            throw Self.invalid(
                .idempotencyKey, "Send an Idempotency-Key or Producer-Id, -Epoch and -Sequence.")
        }
        if (hasProducer || end != nil) && options.partition == nil {
            throw Self.invalid(
                hasProducer ? .producerID : .ifEndOffset,
                "Sequence numbers and end offsets are a partition's: name it, `?partition=0`.")
        }
    }

    private static let producerFields: [FieldName] = [
        .producerID, .producerEpoch, .producerSequence,
    ]

    private static func producer(
        _ head: borrowing RequestHead
    ) throws(Problem) -> ProducerSequence {
        guard let id = try number(head, .producerID, through: BatchIdentity.firstKeyID - 1),
            let epoch = try number(head, .producerEpoch, through: Int64(Int16.max)),
            let sequence = try number(head, .producerSequence, through: Int64(Int32.max))
        else {
            throw invalid(
                .producerID,
                "Producer-Id, Producer-Epoch and Producer-Sequence are sent together or not at all."
            )
        }
        return ProducerSequence(id: id, epoch: Int16(epoch), sequence: Int32(sequence))
    }

    private static func number(
        _ head: borrowing RequestHead, _ field: FieldName, through most: Int64
    ) throws(Problem) -> Int64? {
        guard let range = head.value(of: field) else { return nil }
        let digits = head.bytes[range]
        let isPlain = (1...19).contains(digits.count) && digits.allSatisfy { 0x30...0x39 ~= $0 }
        guard isPlain, let number = Int64(String(decoding: digits, as: UTF8.self)), number <= most
        else { throw invalid(field, "The field \(field.text) is a number from 0 to \(most).") }
        return number
    }

    private static func invalid(_ field: FieldName, _ detail: String) -> Problem {
        Problem(.invalidHeader, detail, [("header", .string(field.text))])
    }
}

/// An `Idempotency-Key` and its request, as 62 and 31 bits of SHA-256: what batches carry of them
/// (`KeyStamp`).
struct KeyedRequest {
    /// The batches' producer id.
    let id: Int64
    let fingerprint: Int32
    /// Where records without a key go: the same at each try.
    func partition(of count: Int) -> Int { Int(id % Int64(count)) }

    /// `key` is the field's value, of its `principal` alone: what one has sent, another can neither
    /// be told nor stand in the way of. The request is its query, its body and the header fields
    /// that become part of the records, but for those that differ at each try (`traceparent`).
    init(
        key: Range<Int>, of principal: String?, _ head: borrowing RequestHead,
        _ form: ProduceForm, _ options: ProduceOptions, body: [UInt8]
    ) {
        let bytes = head.bytes
        var keyDigest = PieceDigest()
        keyDigest.add(bytes[key])
        if let principal { keyDigest.add(Array(principal.utf8)[...]) }
        id = BatchIdentity.firstKeyID | Int64(keyDigest.first64() >> 2)
        var digest = PieceDigest()
        digest.add(Array("\(form) \(options.partition ?? -1)".utf8)[...])
        digest.add([options.key == nil ? 0 : 1])
        digest.add((options.key ?? [])[...])
        switch form {
        case .raw, .binaryEvent:
            digest.add(head.value(of: .contentType).map { bytes[$0] } ?? [])
            let prefix = Array("ce-".utf8)
            head.forEachField { name, value in
                guard bytes[name].starts(with: prefix) else { return }
                digest.add(bytes[name])
                digest.add(bytes[value])
            }
        case .records, .lines, .event, .events: break
        }
        digest.add(body[...])
        fingerprint = Int32(truncatingIfNeeded: digest.first64() >> 33)
    }
}
