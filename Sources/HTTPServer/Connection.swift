import Glibc
import Platform

/// One connection that speaks HTTP/1.1: its buffers, its deadlines, and the loop over its requests.
///
/// One task runs `run`; the event loop calls `handle`, timers call back. All on the loop's thread.
// @unchecked: everything is touched on the thread of `loop` only; the task prefers it as executor.
final class Connection: @unchecked Sendable {
    /// What a deadline is for; it decides what happens when it passes.
    enum Deadline { case idle, head, body, lingering }

    let loop: EventLoop
    let server: Server
    let descriptor: Int32
    var slot = 0
    private(set) lazy var exchange = Exchange(self)

    // What came and is not yet used: `input` from `inputStart` on.
    var input: [UInt8] = []
    var inputStart = 0
    var isReadable = true
    /// The peer ended its sending side.
    var peerEnded = false
    var readWaiter: UnsafeContinuation<Void, Never>?

    // What waits to be sent: `output` from `outputStart` on.
    var output: [UInt8] = []
    var outputStart = 0
    var isWritable = true
    var isQueuedForFlush = false
    var writeWaiter: UnsafeContinuation<Void, Never>?

    /// Nothing more can be received or sent.
    private(set) var isBroken = false
    private var isClosed = false

    // The present exchange.
    var framing = BodyFraming.none
    var chunks: ChunkDecoder?
    var mustContinue = false
    var failure: ProtocolProblem?
    var keepsAlive = true
    var stream = StreamState.none
    enum StreamState { case none, open, finished }

    var expired: Deadline?
    private var deadline: Deadline?
    var bodyBytesAtCheck = 0
    private lazy var deadlineTimer = WheelTimer { [unowned self] in deadlinePassed() }
    private lazy var stallTimer = WheelTimer { [unowned self] in breakOff() }
    private var armed: Wakeup?
    private lazy var wakeTimer = WheelTimer { [unowned self] in armed?.wake() }

    init(_ descriptor: Int32, _ loop: EventLoop, _ server: Server) {
        self.descriptor = descriptor
        self.loop = loop
        self.server = server
    }

    var limits: Limits { server.configuration.limits }
    var clientIsGone: Bool { peerEnded || isBroken }
    var peer: String { Socket.peer(descriptor) }

    // MARK: - Hot path

    func run() async {
        while await readHead() {
            exchange.started = loop.now
            if await discardMeaninglessBody() { await server.handler.handle(exchange) }
            if await !endExchange() { break }
        }
        await end()
    }

    /// Reads the next head into the exchange; false when there is none to answer any more.
    private func readHead() async -> Bool {
        var parser = HeadParser(limits)
        while true {
            if inputStart < input.count {
                let isFirst = parser.isFresh
                switch parser.advance(input, from: inputStart, into: &exchange.head) {
                case .complete(let byteCount):
                    use(byteCount)
                    setDeadline(nil)
                    return beginExchange()
                case .failed(let problem):
                    exchange.head.reset()
                    refuse(problem)
                    return false
                case .needMore:
                    if isFirst { setDeadline(.head, after: limits.headDeadline) }
                }
            } else if server.isDraining {
                return false
            }
            if parser.isFresh { setDeadline(.idle, after: limits.idle) }
            guard await fill() else {
                if expired == .head { refuse(.requestTimeout) }
                return false
            }
        }
    }

    private func beginExchange() -> Bool {
        // The parser has checked the framing; it cannot fail a second time.
        framing = (try? exchange.head.framing()) ?? .none
        chunks = framing == .chunked ? ChunkDecoder(limits) : nil
        mustContinue = framing != .none && exchange.head.expectsContinue
        keepsAlive = exchange.head.keepsAlive
        stream = .none
        exchange.responseStatus = 0
        exchange.receivedBodyBytes = 0
        exchange.sentBytes = 0
        server.statistics.requests.add(1)
        return true
    }

    /// What must happen between an answer and the next request; false where there is none.
    private func endExchange() async -> Bool {
        disarm()
        if exchange.responseStatus == 0 { refuse(failure ?? .handlerFailed) }
        if stream == .open {
            flush()
            breakOff()
        }
        server.configuration.observer?.exchangeEnded(exchange)
        if isBroken || !keepsAlive { return false }
        return await discardBody() && failure == nil && !isBroken
    }

    /// Content of these methods means nothing (RFC 9110 §9.3.1): it is thrown away before the answer,
    /// so that a body with broken framing is refused however its bytes come. False: answered already.
    private func discardMeaninglessBody() async -> Bool {
        switch exchange.head.method {
        case .post, .put, .patch: return true
        case .get, .head, .delete, .options:
            if framing == .none { return true }
            let isDiscarded = await discardBody()
            if !isDiscarded { refuse(failure ?? .chunkTooLarge) }
            return isDiscarded
        }
    }

    /// Reads what is left of the body to nowhere; false where it is too much, or broken.
    private func discardBody() async -> Bool {
        var discarded = 0
        do {
            while let bytes = try await nextBodyBytes() {
                discarded += bytes.count
                if discarded > limits.discardedBodyBytes { return false }
            }
            return true
        } catch {
            return false
        }
    }

    // MARK: - Its end

    /// Lets the last answer out, and gives a client that was still sending the time to read it.
    private func end() async {
        while outputStart < output.count, !isBroken {
            flush()
            if outputStart < output.count, !isBroken {
                await withUnsafeContinuation { writeWaiter = $0 }
            }
        }
        if !isBroken, !peerEnded, expired != .idle, framing != .none || inputStart < input.count || failure != nil {
            Socket.endSending(descriptor)
            setDeadline(.lingering, after: limits.lingering)
            use(input.count - inputStart)
            while await fill() { use(input.count - inputStart) }
        }
        close()
    }

    /// No more bytes in or out: whoever waits finds out at once.
    func breakOff() {
        isBroken = true
        armed?.wake()
        resumeReader()
        resumeWriter()
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        breakOff()
        setDeadline(nil)
        loop.timers.cancel(stallTimer)
        disarm()
        loop.remove(slot: slot)
        Glibc.close(descriptor)
        server.connectionClosed()
    }

    /// A connection without a request under way is over; one with, ends behind its answer.
    func beginDrain() {
        if deadline == .idle { breakOff() } else { armed?.wake() }
    }

    // MARK: - Events and deadlines

    func handle(_ event: Poller.Event) {
        if event.isEnded {
            peerEnded = true
            armed?.wake()
        }
        if event.isReadable || event.isEnded {
            isReadable = true
            resumeReader()
        }
        if event.isWritable {
            isWritable = true
            if outputStart < output.count { flush() }
        }
        if event.isBroken, writeWaiter != nil { breakOff() }
    }

    func setDeadline(_ kind: Deadline?, after duration: Duration = .zero) {
        deadline = kind
        if kind == nil {
            loop.timers.cancel(deadlineTimer)
        } else {
            loop.timers.arm(deadlineTimer, at: loop.now + duration)
        }
    }

    private func deadlinePassed() {
        // A body that comes fast enough is given the next period.
        if deadline == .body, !bodyIsTooSlow() { return }
        expired = deadline
        resumeReader()
    }

    private func bodyIsTooSlow() -> Bool {
        let came = exchange.receivedBodyBytes - bodyBytesAtCheck
        let wanted = Int64(limits.bodyRate) * max(1, limits.bodyGrace.wholeMilliseconds) / 1000
        if Int64(came) < wanted { return true }
        bodyBytesAtCheck = exchange.receivedBodyBytes
        setDeadline(.body, after: limits.bodyGrace)
        return false
    }

    /// An answer that is on its way but not taken: every taken byte buys another period.
    func setStallDeadline(_ isStalled: Bool) {
        if isStalled {
            loop.timers.arm(stallTimer, at: loop.now + limits.writeStall)
        } else {
            loop.timers.cancel(stallTimer)
        }
    }

    func arm(_ wakeup: Wakeup, until deadline: Instant?) {
        armed = wakeup
        if let deadline {
            loop.timers.arm(wakeTimer, at: deadline)
        } else {
            loop.timers.cancel(wakeTimer)
        }
    }

    func disarm() {
        guard armed != nil else { return }
        armed = nil
        loop.timers.cancel(wakeTimer)
    }

    func resumeReader() {
        let waiter = readWaiter
        readWaiter = nil
        waiter?.resume()
    }

    func resumeWriter() {
        let waiter = writeWaiter
        writeWaiter = nil
        waiter?.resume()
    }
}
