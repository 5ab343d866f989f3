/// The methods the server passes on; any other is 501 (RFC 9110 §9.1), CONNECT and TRACE 405.
package enum Method: UInt8, Sendable, CaseIterable {
    case get, head, post, put, patch, delete, options
}

/// Header fields that the server or the gateway asks for. The parser files them by number while it
/// reads, so that asking costs no search and no String.
package enum FieldName: String, Sendable, CaseIterable {
    case accept
    case acceptEncoding = "accept-encoding"
    case authorization
    case cacheControl = "cache-control"
    case connection
    case contentEncoding = "content-encoding"
    case contentLength = "content-length"
    case contentType = "content-type"
    case expect
    case forwarded
    case host
    case idempotencyKey = "idempotency-key"
    case ifEndOffset = "if-end-offset"
    case ifNoneMatch = "if-none-match"
    case lastEventID = "last-event-id"
    case origin
    case producerEpoch = "producer-epoch"
    case producerID = "producer-id"
    case producerSequence = "producer-sequence"
    case secFetchSite = "sec-fetch-site"
    case traceparent
    case transferEncoding = "transfer-encoding"
    case userAgent = "user-agent"
    case xForwardedFor = "x-forwarded-for"
    case xRequestID = "x-request-id"
}
