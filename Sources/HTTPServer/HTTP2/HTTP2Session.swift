import Platform

/// A connection that speaks HTTP/2 (RFC 9113): its frames, its streams and its end. The socket, its
/// buffers and its deadlines stay with `Connection`.
///
/// The connection's task runs `run`; each stream has a task of its own, on the same loop.
final class HTTP2Session {
    unowned let connection: Connection
    let codec: FrameCodec
    private var frameGuard: FrameGuard
    private var streams: [Int32: HTTP2Stream] = [:]
    /// Tasks that wait for bytes to leave; each looks again whenever some did.
    private var waiting: [UnsafeContinuation<Void, Never>] = []
    /// Bytes of request bodies that came and wait for their handlers, and what of them the server's
    /// budget bears.
    private var waitingBodyBytes = 0
    private var reservedBytes = 0
    /// Bytes of answers that have left.
    private(set) var sentBodyBytes = 0
    /// Refusals that were not the client's doing, and are yet to be sent.
    private var ownRefusals = 0
    /// What answers that are being made may come to.
    var answerBytes = 0
    /// It is given up: nothing more is read.
    private var isEnding = false
    private lazy var drainTimer = WheelTimer { [unowned self] in refuseNewStreams() }

    init(_ connection: Connection) {
        self.connection = connection
        codec = FrameCodec(connection.limits)
        frameGuard = FrameGuard(connection.limits)
    }

    private var limits: Limits { connection.limits }
    private var loop: EventLoop { connection.loop }

    // MARK: - Hot path

    /// Serves the connection from its preface to its last frame.
    func run() async {
        connection.flushSoon()
        if connection.server.isDraining { beginDrain() }
        while !isEnding, !codec.isOver {
            // A client that only asks and never reads is asked to wait itself.
            await connection.waitForReader(atMost: limits.unsentFrameBytes)
            if connection.unreadBytes > 0 {
                receive()
                continue
            }
            setDeadline()
            if await !connection.fill() { deadlinePassed() }
        }
        await end()
    }

    /// Takes what came, in pieces: what the events of one piece ask for bounds the next.
    private func receive() {
        while connection.unreadBytes > 0, !isEnding {
            let start = connection.inputStart
            let range = start..<min(start + 16 << 10, connection.input.count)
            let verdict = frameGuard.look(at: connection.input, range, now: loop.now) {
                streams[$0] != nil
            }
            switch verdict {
            case .pass:
                if !codec.receive(connection.input, range) { isEnding = true }
            case .tooMuch: terminate(.enhanceYourCalm)
            case .streamWentBack: terminate(.protocolError)
            }
            connection.use(range.count)
            handleEvents()
        }
        connection.flushSoon()
    }

    private func handleEvents() {
        for event in codec.takeEvents() {
            switch event {
            case .request(let id, let block, let isWhole): begin(id, block, isWhole)
            case .body(let id, let bytes):
                if let stream = streams[id] {
                    stream.bodyCame(bytes)
                } else {
                    codec.consumeConnection(bytes.count)
                }
            case .bodyEnded(let id): streams[id]?.bodyEnded()
            case .sentBody(let id, let byteCount, let wasCutShort):
                sentBodyBytes += byteCount
                frameGuard.sentData(byteCount, wasCutShort: wasCutShort)
                streams[id]?.bodyLeft(byteCount)
            case .sentEnd(let id): streams[id]?.answerLeft()
            case .sentReset(let error): countReset(error)
            case .closed(let id): close(id)
            }
        }
    }

    private func begin(_ id: Int32, _ block: FieldBlock, _ isWhole: Bool) {
        let stream = HTTP2Stream(id, self, block, isWhole: isWhole)
        streams[id] = stream
        // Small on the wire, and up to 64 KiB of work for HPACK each.
        if block.isTooLarge { countReset(.enhanceYourCalm) }
        Task(executorPreference: loop) { await stream.run() }
    }

    private func close(_ id: Int32) {
        streams.removeValue(forKey: id)?.close()
        if streams.isEmpty, connection.server.isDraining { terminate(.noError) }
        setDeadline()
    }

    /// Puts frames that are ready behind what waits to be sent, as far as others are not made to
    /// wait.
    func fillOutput() {
        // Nothing can follow the end, and its client has yet to read it.
        guard !connection.isBroken, connection.deadline != .lingering else { return }
        let limit = connection.outputStart + limits.unsentFrameBytes
        while codec.wantsToSend, connection.output.count < limit {
            let before = connection.output.count
            if !codec.send(into: &connection.output, upTo: limit) { isEnding = true }
            handleEvents()
            if isEnding || connection.output.count == before { break }
        }
        resumeWaiting()
        if isEnding || codec.isOver { connection.endReading() }
    }

    // MARK: - What streams ask for

    /// Takes in bytes of a body that no handler waits for yet; false where the server holds as much
    /// as it may.
    func hold(_ byteCount: Int) -> Bool {
        let wanted = waitingBodyBytes + byteCount - limits.uncountedBodyBytes
        if wanted > reservedBytes {
            guard connection.server.budget.reserve(wanted - reservedBytes) else { return false }
            reservedBytes = wanted
        }
        waitingBodyBytes += byteCount
        return true
    }

    func letGo(_ byteCount: Int) {
        waitingBodyBytes -= byteCount
        let wanted = max(0, waitingBodyBytes - limits.uncountedBodyBytes)
        connection.server.budget.add(wanted - reservedBytes)
        reservedBytes = wanted
    }

    /// Returns when there is a reason to look again how much is unsent.
    func somethingLeft() async {
        await withUnsafeContinuation { waiting.append($0) }
    }

    func resumeWaiting() {
        guard !waiting.isEmpty else { return }
        var resumed: [UnsafeContinuation<Void, Never>] = []
        swap(&resumed, &waiting)
        for continuation in resumed { continuation.resume() }
    }

    /// Whether answers that wait for their client fill what this connection may hold.
    var isFull: Bool { codec.unsentBytes > limits.connectionBufferBytes }

    /// The same with those that are being made.
    var willBeFull: Bool { codec.unsentBytes + answerBytes > limits.connectionBufferBytes }

    // MARK: - Limits

    /// A connection without a stream is idle, whatever frames come; a header block must end.
    private func setDeadline() {
        guard !isEnding else { return }
        let kind: Connection.Deadline? =
            frameGuard.isInHeaderBlock ? .head : streams.isEmpty ? .idle : nil
        guard kind != connection.deadline else { return }
        connection.setDeadline(kind, after: kind == .head ? limits.headDeadline : limits.idle)
    }

    private func deadlinePassed() {
        switch connection.expired {
        case .head: terminate(.enhanceYourCalm)
        case .idle: terminate(.noError)
        case .body, .lingering, nil: break
        }
        isEnding = true
    }

    /// Has the client try a request again, elsewhere: it has not begun.
    func refuse(_ id: Int32) {
        ownRefusals += 1
        codec.reset(id, .refusedStream)
        connection.flushSoon()
    }

    /// Only what the client gave reason for counts.
    private func countReset(_ error: HTTP2Error) {
        if error == .refusedStream, ownRefusals > 0 {
            ownRefusals -= 1
            return
        }
        switch error {
        case .noError, .internalError, .cancel: return
        case .protocolError, .flowControlError, .settingsTimeout, .streamClosed, .frameSizeError,
            .refusedStream, .compressionError, .connectError, .enhanceYourCalm:
            if !frameGuard.mayReset(loop.now) { terminate(.enhanceYourCalm) }
        }
    }

    // MARK: - Its end

    private func terminate(_ error: HTTP2Error) {
        codec.terminate(error)
        if error != .noError { isEnding = true }
        connection.flushSoon()
    }

    /// Streams under way end their answers; the client hears that it should open no more.
    func beginDrain() {
        if streams.isEmpty { return terminate(.noError) }
        codec.announceEnd()
        loop.timers.arm(drainTimer, at: loop.now + limits.goAwayNotice)
        connection.flushSoon()
        wakeStreams()
    }

    private func refuseNewStreams() {
        codec.refuseNewStreams()
        connection.flushSoon()
    }

    /// The client went away, or a drain began: who waits looks.
    func wakeStreams() {
        for stream in streams.values { stream.wake() }
    }

    private func end() async {
        isEnding = true
        loop.timers.cancel(drainTimer)
        connection.setDeadline(nil)
        fillOutput()
        closeStreams()
        await connection.end(mustLinger: true)
    }

    /// Nothing more comes or goes: every handler finds out.
    func closeStreams() {
        let closed = streams
        streams = [:]
        for stream in closed.values { stream.close() }
        resumeWaiting()
    }
}
