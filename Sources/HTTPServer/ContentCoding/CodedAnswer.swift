import Platform

extension Response {
    /// Packs the body where that pays and the client would have it so, and says that it would come
    /// otherwise to others (RFC 9110 §12.5.5), also to a HEAD and where there is no change.
    mutating func encode(for head: RequestHead, _ limits: Limits) {
        if status == 304 { return tellUnchanged(head) }
        guard mayBeCoded(body.count, limits) else { return }
        vary()
        guard AcceptEncoding.prefersGzip(head) else { return }
        weakenTag()
        fields.append(("content-encoding", "gzip"))
        body = Deflater(.large).deflate(body, isLast: true)
    }

    /// The same for a stream; returns what packs its bytes, or nil where they go as they are.
    mutating func encodeStream(for head: RequestHead, _ limits: Limits) -> Deflater? {
        guard mayBeCoded(limits.gzipLeastBytes, limits) else { return nil }
        vary()
        guard AcceptEncoding.prefersGzip(head) else { return nil }
        weakenTag()
        fields.append(("content-encoding", "gzip"))
        return Deflater(.small)
    }

    /// The tag goes back as the client has it, for that says which of the codings it keeps.
    private mutating func tellUnchanged(_ head: RequestHead) {
        vary()
        let isWeak = head.values(of: .ifNoneMatch).contains { head.bytes[$0].contains("W/".utf8) }
        if isWeak { weakenTag() }
    }

    private func mayBeCoded(_ byteCount: Int, _ limits: Limits) -> Bool {
        guard byteCount >= limits.gzipLeastBytes, byteCount <= limits.gzipMostBytes,
            let contentType
        else { return false }
        let name = contentType.prefix { $0 != ";" }
        return name.hasPrefix("text/")
            || ["json", "yaml", "xml"].contains { name.hasSuffix($0) }
    }

    private mutating func vary() {
        if let index = fields.firstIndex(where: { $0.name == "vary" }) {
            fields[index].value += ", accept-encoding"
        } else {
            fields.append(("vary", "accept-encoding"))
        }
    }

    /// RFC 9110 §8.8.3.3: other bytes must not have the same strong tag.
    private mutating func weakenTag() {
        guard let index = fields.firstIndex(where: { $0.name == "etag" }),
            !fields[index].value.hasPrefix("W/")
        else { return }
        fields[index].value = "W/" + fields[index].value
    }
}
