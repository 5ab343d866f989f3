import Platform

/// A request's body in the coding it came in, opened as it is read (RFC 9110 §8.4): gzip, once.
struct CodedBody {
    private let inflater = Inflater()
    private let freeBytes: Int
    private let ratio: Int
    private var isAtEnd = false

    /// nil where the body is not coded.
    init?(_ head: RequestHead, _ limits: Limits) throws(BodyError) {
        guard let coding = head.value(of: .contentEncoding), !head.matches(coding, "identity")
        else { return nil }
        guard head.matches(coding, "gzip") || head.matches(coding, "x-gzip") else {
            throw .unknownCoding
        }
        freeBytes = limits.inflatedFreeBytes
        ratio = limits.inflationRatio
    }

    /// The next bytes of the content, at most 64 KiB; nil at its end. `more` brings what came.
    mutating func next(
        _ more: () async throws(BodyError) -> [UInt8]?
    ) async throws(BodyError) -> [UInt8]? {
        while !isAtEnd {
            let bytes: [UInt8]
            do { bytes = try inflater.next(most: 64 << 10) } catch { throw .malformedCoding }
            try checkRatio()
            if !bytes.isEmpty { return bytes }
            if let came = try await more() {
                inflater.feed(came)
            } else {
                isAtEnd = true
                guard inflater.isWhole else { throw .malformedCoding }
            }
        }
        return nil
    }

    /// Text is packed to a tenth, here and there to a hundredth; to a thousandth only for harm.
    private func checkRatio() throws(BodyError) {
        let most = freeBytes + ratio * inflater.inputBytes
        if inflater.outputBytes > most { throw .inflatesTooMuch(ratio: ratio) }
    }
}
