import Backends
import HTTPServer
import JSON

/// An error answer: a problem document (RFC 9457, `application/problem+json`).
package struct Problem: Error {
    package var code: ProblemCode
    /// Some of the request was appended, and would be a second time.
    var isPartial = false
    /// What was wrong and what to do about it, in a sentence or two.
    package var detail: String
    /// Members beside the standard ones, such as `earliestOffset` or `recordIndex`.
    package var members: [(name: String, value: Member)] = []

    /// For the `Allow` field of a 405 (RFC 9110 §15.5.6).
    var allowed: String?
    /// For the `WWW-Authenticate` field of a 401 (RFC 9110 §15.5.2).
    var challenge: String?
    /// For the `Retry-After` field, in whole seconds; nil: 1 where the status has the field.
    var retryAfter: Int64?

    package enum Member {
        case integer(Int64)
        case string(String)
        /// JSON text.
        case raw([UInt8])
    }

    package init(_ code: ProblemCode, _ detail: String, _ members: [(String, Member)] = []) {
        self.code = code
        self.detail = detail
        self.members = members.map { (name: $0.0, value: $0.1) }
    }
}

extension Problem {
    /// The path is known, its methods are others.
    static func methodNotAllowed(_ routes: [Route]) -> Problem {
        var methods = routes.map(\.method.rawValue)
        if let get = methods.firstIndex(of: "GET") { methods.insert("HEAD", at: get + 1) }
        let allowed = methods.joined(separator: ", ")
        var problem = Problem(.methodNotAllowed, "This path takes \(allowed).")
        problem.allowed = allowed
        return problem
    }
}

/// Stable names of everything that can go wrong; each has one status. `openapi.yaml` lists them
/// all.
package enum ProblemCode: String, CaseIterable {
    case invalidJSON = "invalid-json"
    case invalidParameter = "invalid-parameter"
    case unknownParameter = "unknown-parameter"
    case invalidHeader = "invalid-header"
    case invalidField = "invalid-field"
    case unknownField = "unknown-field"
    case missingField = "missing-field"
    case invalidName = "invalid-name"
    case invalidCursor = "invalid-cursor"
    case invalidCloudEvent = "invalid-cloudevent"
    case invalidConfiguration = "invalid-configuration"
    case invalidContentCoding = "invalid-content-coding"
    case recordWithoutKey = "record-without-key"
    case unauthenticated = "unauthenticated"
    case foreignOrigin = "foreign-origin"
    case forbidden = "forbidden"
    case unknownTopic = "unknown-topic"
    case unknownPartition = "unknown-partition"
    case unknownRoute = "unknown-route"
    case unknownGroup = "unknown-group"
    case unknownMember = "unknown-member"
    case fencedMemberEpoch = "fenced-member-epoch"
    case fencedInstanceID = "fenced-instance-id"
    case supersededPoll = "superseded-poll"
    case partitionNotAssigned = "partition-not-assigned"
    case groupNotEmpty = "group-not-empty"
    case methodNotAllowed = "method-not-allowed"
    case notAcceptable = "not-acceptable"
    case requestTimeout = "request-timeout"
    case topicExists = "topic-exists"
    case reservedName = "reserved-name"
    case outOfOrderSequence = "out-of-order-sequence"
    case unknownProducer = "unknown-producer"
    case idempotencyKeyForgotten = "idempotency-key-forgotten"
    case producerFenced = "producer-fenced"
    case endOffsetMismatch = "end-offset-mismatch"
    case idempotencyKeyReused = "idempotency-key-reused"
    case offsetTrimmed = "offset-trimmed"
    case topicRecreated = "topic-recreated"
    case bodyTooLarge = "body-too-large"
    case recordTooLarge = "record-too-large"
    case unsupportedMediaType = "unsupported-media-type"
    case offsetOutOfRange = "offset-out-of-range"
    case misdirectedRequest = "misdirected-request"
    case tooManyFailures = "too-many-failures"
    case quotaExceeded = "quota-exceeded"
    case limitReached = "limit-reached"
    case internalError = "internal-error"
    case notReady = "not-ready"
    case serverBusy = "server-busy"
    case partitionFailed = "partition-failed"
    case storageFull = "storage-full"
    case logDamaged = "log-damaged"
    case storageError = "storage-error"

    package var status: Int {
        switch self {
        case .invalidJSON, .invalidParameter, .unknownParameter, .invalidHeader, .invalidField,
            .unknownField, .missingField, .invalidName, .invalidCursor, .invalidCloudEvent,
            .invalidConfiguration, .invalidContentCoding, .recordWithoutKey:
            400
        case .unauthenticated: 401
        case .foreignOrigin, .forbidden, .reservedName, .producerFenced: 403
        case .unknownTopic, .unknownPartition, .unknownRoute, .unknownGroup, .unknownMember: 404
        case .methodNotAllowed: 405
        case .notAcceptable: 406
        case .requestTimeout: 408
        case .topicExists, .fencedMemberEpoch, .fencedInstanceID, .supersededPoll,
            .partitionNotAssigned, .groupNotEmpty, .outOfOrderSequence, .unknownProducer,
            .idempotencyKeyForgotten:
            409
        case .offsetTrimmed, .topicRecreated: 410
        case .endOffsetMismatch: 412
        case .bodyTooLarge, .recordTooLarge: 413
        case .unsupportedMediaType: 415
        case .offsetOutOfRange: 416
        case .misdirectedRequest: 421
        case .idempotencyKeyReused: 422
        case .limitReached, .tooManyFailures, .quotaExceeded: 429
        case .internalError, .logDamaged, .storageError: 500
        case .notReady, .serverBusy, .partitionFailed: 503
        case .storageFull: 507
        }
    }

    /// Whether the same request can succeed later without being changed.
    package var isRetryable: Bool {
        switch self {
        case .notReady, .serverBusy, .storageFull, .limitReached, .tooManyFailures, .quotaExceeded,
            .requestTimeout:
            true
        default: false
        }
    }
}
