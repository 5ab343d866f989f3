/// The methods the server passes on; any other is 501 (RFC 9110 §9.1), CONNECT and TRACE 405.
package enum Method: String, Sendable, CaseIterable {
    case get = "GET"
    case head = "HEAD"
    case post = "POST"
    case put = "PUT"
    case patch = "PATCH"
    case delete = "DELETE"
    case options = "OPTIONS"
}

/// Header fields that the server or the gateway asks for. The parser files them by number while it
/// reads, so that asking costs no search and no String.
package enum FieldName: UInt8, Sendable, CaseIterable {
    case accept, acceptEncoding, accessControlRequestMethod, accessControlRequestPrivateNetwork
    case authorization, connection, contentEncoding, contentLength, contentType, expect
    case forwarded, host
    case idempotencyKey, ifEndOffset, ifNoneMatch, lastEventID, origin
    case producerEpoch, producerID, producerSequence, secFetchSite, traceparent, transferEncoding
    case userAgent, xForwardedFor

    /// The field's name in lower case.
    package var text: String {
        switch self {
        case .accept: "accept"
        case .acceptEncoding: "accept-encoding"
        case .accessControlRequestMethod: "access-control-request-method"
        case .accessControlRequestPrivateNetwork: "access-control-request-private-network"
        case .authorization: "authorization"
        case .connection: "connection"
        case .contentEncoding: "content-encoding"
        case .contentLength: "content-length"
        case .contentType: "content-type"
        case .expect: "expect"
        case .forwarded: "forwarded"
        case .host: "host"
        case .idempotencyKey: "idempotency-key"
        case .ifEndOffset: "if-end-offset"
        case .ifNoneMatch: "if-none-match"
        case .lastEventID: "last-event-id"
        case .origin: "origin"
        case .producerEpoch: "producer-epoch"
        case .producerID: "producer-id"
        case .producerSequence: "producer-sequence"
        case .secFetchSite: "sec-fetch-site"
        case .traceparent: "traceparent"
        case .transferEncoding: "transfer-encoding"
        case .userAgent: "user-agent"
        case .xForwardedFor: "x-forwarded-for"
        }
    }

    /// Fields that are lists may come on several lines; of the others a second one is refused, for
    /// two parsers could each believe another.
    var mayRepeat: Bool {
        switch self {
        case .accept, .acceptEncoding, .connection, .expect, .forwarded, .ifNoneMatch, .traceparent,
            .userAgent, .xForwardedFor:
            true
        case .accessControlRequestMethod, .accessControlRequestPrivateNetwork, .authorization,
            .contentEncoding, .contentLength, .contentType, .host, .idempotencyKey,
            .ifEndOffset, .lastEventID, .origin, .producerEpoch, .producerID, .producerSequence,
            .secFetchSite, .transferEncoding:
            false
        }
    }

    /// The names by length, so that a look-up compares with one or two.
    private static let byLength: [[(name: [UInt8], field: FieldName)]] = {
        let longest = allCases.map(\.text.utf8.count).max() ?? 0
        var table = Array(repeating: [(name: [UInt8], field: FieldName)](), count: longest + 1)
        for field in allCases {
            table[field.text.utf8.count].append((Array(field.text.utf8), field))
        }
        return table
    }()

    /// The field of a lower-case name.
    static func named(_ bytes: [UInt8], _ range: Range<Int>) -> FieldName? {
        guard range.count < byLength.count else { return nil }
        for (name, field) in byLength[range.count] {
            var index = 0
            while index < name.count, name[index] == bytes[range.lowerBound + index] { index += 1 }
            if index == name.count { return field }
        }
        return nil
    }
}
