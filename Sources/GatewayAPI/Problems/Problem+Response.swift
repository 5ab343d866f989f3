import HTTPServer
import JSON

extension Problem {
    /// The problem as an answer, `application/problem+json` (RFC 9457 §3).
    func response() -> Response {
        var response = Response(
            status: code.status, contentType: "application/problem+json", body: document())
        if code.status == 503 || code.status == 429 {
            response.fields.append(("retry-after", "\(retryAfter ?? 1)"))
        }
        if let challenge { response.fields.append(("www-authenticate", challenge)) }
        if let allowed { response.fields.append(("allow", allowed)) }
        return response
    }

    /// The document itself, for the end of a stream as well.
    func document() -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("type")
        writer.string("about:blank")
        writer.name("title")
        // With `about:blank` the title says no more than the status.
        writer.string(reasonPhrase(code.status))
        writer.name("status")
        writer.integer(Int64(code.status))
        writer.name("code")
        writer.string(code.rawValue)
        writer.name("detail")
        writer.string(detail)
        writer.name("retryable")
        writer.bool(code.isRetryable && !isPartial)
        for (name, value) in members {
            writer.name(name)
            switch value {
            case .integer(let value): writer.integer(value)
            case .string(let value): writer.string(value)
            case .raw(let json): writer.raw(json[...])
            }
        }
        writer.endObject()
        return writer.bytes
    }
}
