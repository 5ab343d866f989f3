/// What the server refuses by itself, before a handler sees it. The answer is a problem document
/// (RFC 9457) like the API's own, and the connection closes behind it.
package enum ProtocolProblem: String, Error, CaseIterable, Sendable {
    case malformedRequest = "malformed-request"
    case methodNotAllowed = "method-not-allowed"
    case requestTimeout = "request-timeout"
    case chunkTooLarge = "chunk-too-large"
    case targetTooLong = "target-too-long"
    case expectationFailed = "expectation-failed"
    case headTooLarge = "head-too-large"
    case handlerFailed = "internal-error"
    case unknownMethod = "unknown-method"
    case unknownTransferCoding = "unknown-transfer-coding"
    case versionNotSupported = "version-not-supported"

    package var status: Int {
        switch self {
        case .malformedRequest: 400
        case .methodNotAllowed: 405
        case .requestTimeout: 408
        case .chunkTooLarge: 413
        case .targetTooLong: 414
        case .expectationFailed: 417
        case .headTooLarge: 431
        case .handlerFailed: 500
        case .unknownMethod, .unknownTransferCoding: 501
        case .versionNotSupported: 505
        }
    }

    var detail: String {
        switch self {
        case .malformedRequest:
            "This is not HTTP/1.1 as RFC 9112 writes it, or could be read in two ways. "
                + "The connection closes."
        case .methodNotAllowed: "CONNECT and TRACE are not served here."
        case .requestTimeout: "The request came too slowly. Send it again on a new connection."
        case .chunkTooLarge: "A chunk of this size is not taken. Send smaller chunks."
        case .targetTooLong:
            "The request line is longer than the server takes. A long cursor can come as "
                + "`Last-Event-ID`."
        case .expectationFailed: "Of the expectations only 100-continue is known. Leave Expect out."
        case .headTooLarge: "The header has too many fields or too many bytes."
        case .handlerFailed: "The server failed to answer. The failure is in its log."
        case .unknownMethod: "This method is not known here."
        case .unknownTransferCoding: "Of the transfer codings only chunked is taken."
        case .versionNotSupported: "Speak HTTP/1.1 or HTTP/1.0."
        }
    }

    /// The answer; `method-not-allowed` says what is allowed (RFC 9110 §15.5.6).
    var response: Response {
        let isRetryable = self == .requestTimeout
        let text =
            "{\"type\":\"about:blank\",\"title\":\"\(reasonPhrase(status))\",\"status\":\(status),"
            + "\"code\":\"\(rawValue)\",\"detail\":\"\(detail)\",\"retryable\":\(isRetryable)}"
        var response = Response(
            status: status, contentType: "application/problem+json", body: Array(text.utf8))
        if self == .methodNotAllowed {
            response.fields.append(("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
        }
        return response
    }
}

/// RFC 9110 §15; the phrase is for people, machines read the number.
package func reasonPhrase(_ status: Int) -> String {
    switch status {
    case 100: "Continue"
    case 200: "OK"
    case 201: "Created"
    case 202: "Accepted"
    case 204: "No Content"
    case 304: "Not Modified"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 406: "Not Acceptable"
    case 408: "Request Timeout"
    case 409: "Conflict"
    case 410: "Gone"
    case 412: "Precondition Failed"
    case 413: "Content Too Large"
    case 414: "URI Too Long"
    case 415: "Unsupported Media Type"
    case 416: "Range Not Satisfiable"
    case 417: "Expectation Failed"
    case 421: "Misdirected Request"
    case 422: "Unprocessable Content"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 503: "Service Unavailable"
    case 505: "HTTP Version Not Supported"
    case 507: "Insufficient Storage"
    default: "Status"
    }
}
