import Backends

extension Problem {
    /// The answer to a batch whose producer or key does not let it in.
    init(_ refusal: IdentityRefusal) {
        switch refusal {
        case .outOfOrderSequence(let expected):
            self.init(
                .outOfOrderSequence,
                "Nothing was appended: the producer's next sequence number here is \(expected). "
                    + "One beyond it means that a batch is missing, send that first; one below it "
                    + "is older than the last 5 batches, which are recognised.",
                [("expectedSequence", .integer(Int64(expected)))])
        case .fenced(let currentEpoch):
            self.init(
                .producerFenced,
                "Nothing was appended: a producer with this id has written with the epoch "
                    + "\(currentEpoch). This one is out of date and has to stop.",
                [("currentEpoch", .integer(Int64(currentEpoch)))])
        case .unknownProducer:
            self.init(
                .unknownProducer,
                "Nothing was appended: the partition knows no batch of this producer, never had "
                    + "one or forgot it, so whether this one is in the log is unknown. Look at the "
                    + "end of the log, then go on with a higher Producer-Epoch and sequence 0.",
                [("expectedSequence", .integer(0))])
        case .keyReused:
            self.init(
                .idempotencyKeyReused,
                "Nothing was appended: this Idempotency-Key stood with another request. A new "
                    + "request takes a new key.")
        case .keyForgotten:
            self.init(
                .idempotencyKeyForgotten,
                "Part of this request is in the log, and whether the rest is, is no longer known: "
                    + "too many keys have come since. Look for the records in the log; a request "
                    + "with a new key appends all of them.")
        }
    }

    /// The answer to an `If-End-Offset` that is not met.
    static func endOffsetMismatch(_ endOffset: Offset) -> Problem {
        Problem(
            .endOffsetMismatch,
            "Nothing was appended: the partition's next offset is \(endOffset.value) and not the "
                + "one in If-End-Offset. Read what came in between, then decide anew.",
            [("endOffset", .integer(endOffset.value))])
    }
}
