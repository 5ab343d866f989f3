/// A parser of bytes that strangers send or disks keep, and what must hold of it whatever they are.
///
/// `Tests/fuzz` has libFuzzer make up the bytes; `FuzzingTests` repeats those that were kept.
package struct FuzzTarget: Sendable {
    package let name: String
    /// Throws where the parser contradicts itself; a trap ends the program.
    package let check: @Sendable ([UInt8]) async throws(Contradiction) -> Void

    package static let all = [
        FuzzTarget(name: "head", check: checkHead),
        FuzzTarget(name: "chunks", check: checkChunks),
        FuzzTarget(name: "proxy", check: checkProxyHeader),
        FuzzTarget(name: "frames", check: checkFrames),
        FuzzTarget(name: "json", check: checkJSON),
        FuzzTarget(name: "gzip", check: checkGzip),
        FuzzTarget(name: "batch", check: checkBatch),
        FuzzTarget(name: "segment", check: checkSegment),
        FuzzTarget(name: "sidecars", check: checkSidecars),
        FuzzTarget(name: "query", check: checkQuery),
        FuzzTarget(name: "cursor", check: checkCursor),
        FuzzTarget(name: "records", check: checkRecords),
        FuzzTarget(name: "events", check: checkEvents),
        FuzzTarget(name: "access", check: checkAccessFile),
        FuzzTarget(name: "webtoken", check: checkWebToken),
        FuzzTarget(name: "groups", check: checkGroupRecords),
    ]
}

/// What did not hold.
package struct Contradiction: Error, CustomStringConvertible {
    package let description: String
}

func claim(
    _ holds: Bool, _ words: @autoclosure () -> String
) throws(Contradiction) {
    if !holds { throw Contradiction(description: words()) }
}
