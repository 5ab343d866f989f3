import Platform

/// Who sent a batch, and which of theirs it is: what makes a second try known. It stands in the
/// batch's own producer id, epoch and base sequence, so that data and dedupe are one write.
package enum BatchIdentity: Equatable, Sendable {
    case producer(ProducerSequence)
    case key(KeyStamp)

    /// Producer ids from here on are made from an `Idempotency-Key`; a client's own are below.
    package static let firstKeyID: Int64 = 1 << 62

    /// What the header of a stored batch says; nil: no identity, or none that can be ours.
    init?(_ header: RecordBatchHeader) {
        guard header.producerID >= 0, header.producerEpoch >= 0, header.baseSequence >= 0,
            !header.isControl
        else { return nil }
        if header.producerID < Self.firstKeyID {
            self = .producer(
                ProducerSequence(
                    id: header.producerID, epoch: header.producerEpoch,
                    sequence: header.baseSequence))
        } else {
            self = .key(
                KeyStamp(
                    id: header.producerID, partitionCount: header.producerEpoch,
                    fingerprint: header.baseSequence, firstTried: header.baseTimestamp))
        }
    }

    var id: Int64 {
        switch self {
        case .producer(let sequence): sequence.id
        case .key(let stamp): stamp.id
        }
    }
    var epoch: Int16 {
        switch self {
        case .producer(let sequence): sequence.epoch
        case .key(let stamp): stamp.partitionCount
        }
    }
    var sequence: Int32 {
        switch self {
        case .producer(let sequence): sequence.sequence
        case .key(let stamp): stamp.fingerprint
        }
    }
}

/// Kafka's idempotent producer: the sequence number is that of the batch's first record, and goes
/// up by one a record, from 0 in each partition and epoch, to 2³¹ - 1 and on with 0.
package struct ProducerSequence: Equatable, Sendable {
    /// 0 to 2⁶² - 1.
    package var id: Int64
    package var epoch: Int16
    package var sequence: Int32

    package init(id: Int64, epoch: Int16, sequence: Int32) {
        self.id = id
        self.epoch = epoch
        self.sequence = sequence
    }

    /// The sequence number `count` records behind `sequence`.
    static func advance(_ sequence: Int32, by count: Int64) -> Int32 {
        Int32(truncatingIfNeeded: (Int64(sequence) &+ count) & Int64(Int32.max))
    }
}

/// What a batch says of the request with an `Idempotency-Key` it is of. A request's batches, one a
/// partition, all carry the same:
///
///     in the header    field            holds
///     producerId       id               2⁶² + 62 bits of the SHA-256 of key and principal
///     producerEpoch    partitionCount   the topic's at the first try: says where records went
///     baseSequence     fingerprint      31 bits of the SHA-256 of the request
///     baseTimestamp    firstTried       milliseconds since 1970, of the first try
///
/// The first timestamp of a batch is free to choose: records carry differences from it.
package struct KeyStamp: Equatable, Sendable {
    package var id: Int64
    package var partitionCount: Int16
    package var fingerprint: Int32
    package var firstTried: Int64

    package init(id: Int64, partitionCount: Int16, fingerprint: Int32, firstTried: Int64) {
        self.id = id
        self.partitionCount = partitionCount
        self.fingerprint = fingerprint
        self.firstTried = firstTried
    }
}

/// What must hold for a batch to be appended, checked under the same lock as the append.
package struct AppendRules: Sendable {
    package var identity: BatchIdentity?
    /// A batch of the same request stands in another partition already, so that this one may have
    /// been here and be forgotten.
    package var isRetry = false
    /// The offset the first record must get.
    package var endOffset: Offset?

    package init(identity: BatchIdentity? = nil, isRetry: Bool = false, endOffset: Offset? = nil) {
        self.identity = identity
        self.isRetry = isRetry
        self.endOffset = endOffset
    }
}

/// A batch found by its `Idempotency-Key`.
package struct KeyTrace: Equatable, Sendable {
    package var stamp: KeyStamp
    package var baseOffset: Offset
    package var recordCount: Int

    package init(stamp: KeyStamp, baseOffset: Offset, recordCount: Int) {
        self.stamp = stamp
        self.baseOffset = baseOffset
        self.recordCount = recordCount
    }
}

/// Why a batch with an identity is not appended.
package enum IdentityRefusal: Error, Equatable, Sendable {
    /// A sequence number was passed over, or this is an older batch than the last five.
    case outOfOrderSequence(expected: Int32)
    /// A newer incarnation of the producer has written.
    case fenced(currentEpoch: Int16)
    /// Nothing is known of the producer here, and this is not its first batch.
    case unknownProducer
    /// The key stood with another request.
    case keyReused
    /// The request's records may have been appended and forgotten, or not appended.
    case keyForgotten
}

extension [UInt8] {
    /// Puts the identity in the header of the batch.
    mutating func stamp(_ identity: BatchIdentity) {
        setBigEndian(identity.id, at: 43)
        self[51] = UInt8(truncatingIfNeeded: identity.epoch >> 8)
        self[52] = UInt8(truncatingIfNeeded: identity.epoch)
        setBigEndian(UInt32(bitPattern: identity.sequence), at: 53)
    }
}
