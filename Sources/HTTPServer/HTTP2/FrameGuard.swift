package import Platform

/// Watches the frames that a client sends for what costs us work and brings it nothing, and which
/// libnghttp2 lets pass (RELIABILITY.md d-2). A value beside the codec: it sees the same bytes.
///
///     at  size  field
///      0     3  length      of the payload behind these nine bytes (RFC 9113 §4.1)
///      3     1  type
///      4     1  flags
///      5     4  stream      the highest bit is reserved
package struct FrameGuard {
    package enum Verdict: Equatable, Sendable {
        case pass
        /// To be ended with ENHANCE_YOUR_CALM.
        case tooMuch
        /// A stream that was passed over is used after all: PROTOCOL_ERROR (RFC 9113 §5.1.1).
        case streamWentBack
    }

    private var control: TokenBucket
    private var resets: TokenBucket
    private var ownResets: TokenBucket
    /// WINDOW_UPDATE frames that data we sent has given reason for.
    private var windowCredit = 0

    private var header: [UInt8] = []
    /// Bytes to pass over: the preface first, then payloads.
    private var skip = Self.preface.count
    private var endsBlock = false
    /// Bytes of a header block are still to come.
    package private(set) var isInHeaderBlock = false

    private var lastStream: Int32 = 0
    /// Streams opened last, in a ring: frames for them may still be on their way.
    private var opened: [Int32] = []
    private var openedNext = 0

    /// What a client that speaks HTTP/2 sends first (RFC 9113 §3.4).
    package static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    package init(_ limits: Limits) {
        control = TokenBucket(limits.controlFrames)
        resets = TokenBucket(limits.resets)
        ownResets = TokenBucket(limits.ownResets)
    }

    // MARK: - Hot path

    /// Looks at the next bytes of the connection. `isOpen` tells a stream that has not ended.
    package mutating func look(
        at bytes: [UInt8], _ range: Range<Int>, now: Instant, isOpen: (Int32) -> Bool
    ) -> Verdict {
        var at = range.lowerBound
        while at < range.upperBound {
            if skip > 0 {
                let count = min(skip, range.upperBound - at)
                skip -= count
                at += count
                if skip == 0 { endPayload() }
                continue
            }
            header.append(bytes[at])
            at += 1
            guard header.count >= 9, header.count >= wantedBytes else { continue }
            let verdict = judge(now, isOpen)
            skip = length - (header.count - 9)
            header.removeAll(keepingCapacity: true)
            if skip == 0 { endPayload() }
            guard verdict == .pass else { return verdict }
        }
        return .pass
    }

    private var length: Int { Int(header[0]) << 16 | Int(header[1]) << 8 | Int(header[2]) }
    private var isPadded: Bool { header[4] & 0x8 != 0 }
    private var endsStream: Bool { header[4] & 0x1 != 0 }

    /// Of padded DATA the length of the padding as well, which may be all there is.
    private var wantedBytes: Int { header[3] == 0 && isPadded && length > 0 ? 10 : 9 }

    private mutating func endPayload() {
        if endsBlock { isInHeaderBlock = false }
        endsBlock = false
    }

    private mutating func judge(_ now: Instant, _ isOpen: (Int32) -> Bool) -> Verdict {
        switch header[3] {
        case 0x0:
            let isEmpty = length == 0 || isPadded && length == 1 + Int(header[9])
            return isEmpty && !endsStream ? verdict(control.take(now)) : .pass
        case 0x1:
            beginBlock()
            return checkStream(isOpen)
        case 0x9:
            beginBlock()
            return .pass
        case 0x3: return verdict(resets.take(now))
        case 0x8 where windowCredit > 0:
            windowCredit -= 1
            return .pass
        // PRIORITY, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE and what nobody knows.
        default: return verdict(control.take(now))
        }
    }

    private mutating func beginBlock() {
        isInHeaderBlock = true
        endsBlock = header[4] & 0x4 != 0
    }

    private func verdict(_ isWithinRate: Bool) -> Verdict { isWithinRate ? .pass : .tooMuch }

    /// libnghttp2 takes a HEADERS frame for a stream below the last one for one of a closed stream
    /// and passes over it; h2spec 5.1.1/2.
    private mutating func checkStream(_ isOpen: (Int32) -> Bool) -> Verdict {
        let stream =
            Int32(header[5] & 0x7F) << 24 | Int32(header[6]) << 16 | Int32(header[7]) << 8
            | Int32(header[8])
        if stream > lastStream {
            lastStream = stream
            if opened.count < 256 {
                opened.append(stream)
            } else {
                opened[openedNext] = stream
                openedNext = (openedNext + 1) % 256
            }
            return .pass
        }
        return isOpen(stream) || opened.contains(stream) ? .pass : .streamWentBack
    }

    // MARK: - What we send

    /// A DATA frame went out. One that a window cut short, and small, gives no credit: windows of a
    /// byte make a frame of each (CVE-2019-9511).
    package mutating func sentData(_ byteCount: Int, wasCutShort: Bool) {
        guard !wasCutShort || byteCount >= 1024 else { return }
        windowCredit = min(1000, windowCredit + 2)
    }

    /// A stream was reset for what the client did; false where that was once too often
    /// (CVE-2025-8671).
    package mutating func mayReset(_ now: Instant) -> Bool { ownResets.take(now) }
}

/// How much of something is taken: a burst, and then a rate.
package struct Rate: Sendable {
    package var burst: Int
    package var perSecond: Int
}

/// Says how long a `Rate` is kept, in one instant: when the bucket would be full again.
package struct TokenBucket: Sendable {
    private let interval: Duration
    private let tolerance: Duration
    private var fullAt = Instant(nanoseconds: 0)

    package init(_ rate: Rate) {
        interval = .nanoseconds(1_000_000_000 / Int64(max(1, rate.perSecond)))
        tolerance = interval * max(0, rate.burst - 1)
    }

    /// Takes one; false where there is none.
    package mutating func take(_ now: Instant) -> Bool {
        let start = max(fullAt, now)
        guard start - now <= tolerance else { return false }
        fullAt = start + interval
        return true
    }
}
