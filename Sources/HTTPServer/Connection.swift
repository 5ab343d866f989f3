import Platform

/// One connection that speaks HTTP/1.1: its buffers, its deadlines, and the loop over its requests.
///
/// One task runs `run`; the event loop calls `handle`, timers call back. All on the loop's thread.
// @unchecked: everything is touched on the thread of `loop` only; the task prefers it as executor.
final class Connection: ExchangeCarrier, @unchecked Sendable {
    /// What a deadline is for; it decides what happens when it passes.
    enum Deadline { case idle, head, body, lingering }

    let loop: EventLoop
    let server: Server
    let descriptor: Int32
    let peerAddress: Address
    /// Whose share of the connections this one is of; nil where it is a balancer's.
    var countedAddress: Address?
    var slot = 0
    private(set) lazy var exchange = Exchange(self)

    // What came and is not yet used: `input` from `inputStart` on.
    var input: [UInt8] = []
    var inputStart = 0
    var isReadable = true
    /// The peer ended its sending side; there may still be bytes to read.
    var peerEnded = false
    /// Everything it sent has been read.
    var isAtEnd = false
    var readWaiter: UnsafeContinuation<Void, Never>?

    /// The last read filled the scratch: there is more, and others have not had their turn.
    var mustYield = false

    // What waits to be sent: `output` from `outputStart` on.
    var output: [UInt8] = []
    var outputStart = 0
    var isWritable = true
    var isQueuedForFlush = false
    var isStallArmed = false
    /// What of it the server's budget knows of.
    private var countedBytes = 0
    /// Bytes a stream wrote since it last waited or gave way.
    var bytesSinceYield = 0
    var writeWaiter: UnsafeContinuation<Void, Never>?
    private var isParked = false
    private var pipelinedSinceYield = 0

    /// Nothing more can be received or sent.
    private(set) var isBroken = false
    private var isClosed = false
    /// What is sent from now on is the last.
    private(set) var isEnding = false

    // The present exchange.
    var framing = BodyFraming.none
    var chunks: ChunkDecoder?
    var mustContinue = false
    var failure: ProtocolProblem?
    var keepsAlive = true
    var stream = StreamState.none
    enum StreamState { case none, open, finished }

    /// Counts the exchanges that are over, so that what is meant for one does not hit the next.
    var exchangeNumber: UInt64 = 0
    var mustEndSoon = false

    var expired: Deadline?
    private(set) var deadline: Deadline?
    var bodyRate = BodyRate()
    private lazy var deadlineTimer = WheelTimer { [unowned self] in deadlinePassed() }
    private lazy var stallTimer = WheelTimer { [unowned self] in stalled() }
    private let armed: ArmedWakeup
    /// Set once the client speaks HTTP/2.
    private(set) var session: HTTP2Session?

    init(
        _ descriptor: Int32, _ peerAddress: Address, _ loop: EventLoop, _ server: Server
    ) {
        self.descriptor = descriptor
        self.peerAddress = peerAddress
        self.loop = loop
        self.server = server
        armed = ArmedWakeup(loop)
    }

    var limits: Limits { server.configuration.limits }
    var clientIsGone: Bool { peerEnded || isBroken }
    /// One answer at a time: there is no other.
    var isFull: Bool { false }
    func countAnswer(_ byteCount: Int) {}
    /// Asked for once. A broken connection cannot tell its port any more.
    private(set) lazy var peer = {
        let peer = Socket.peer(descriptor)
        return peer.isEmpty ? peerAddress.text : peer
    }()
    /// What the PROXY protocol's header said.
    var proxiedAddress: Address?

    // MARK: - Hot path

    func run() async {
        if awaitsProxyHeader, await !readProxyHeader() { return close() }
        switch await firstBytes() {
        case .http2:
            let session = HTTP2Session(self)
            self.session = session
            await session.run()
        case .other: await runHTTP1()
        case .none: await end(mustLinger: false)
        }
    }

    private func runHTTP1() async {
        while !isBroken, await readHead() {
            exchange.started = loop.now
            if await discardMeaninglessBody() { await server.handler.handle(exchange) }
            if await !endExchange() { break }
            // A client that only asks and never reads gets no further answers.
            if unsentBytes > limits.pipelinedBytes { flush() }
            if mustPark {
                isParked = true
                // Thousands may wait with little each. A long answer has at most twice what it
                // needs, and is not worth moving.
                if unsentBytes <= limits.shortAnswerBytes { fitOutput() }
                return
            }
            // Who sent many requests at once lets those with a single one come between.
            pipelinedSinceYield = unreadBytes == 0 ? 0 : pipelinedSinceYield + exchange.sentBytes
            if pipelinedSinceYield > limits.pipelinedTurnBytes {
                pipelinedSinceYield = 0
                return loop.afterOthers(goOn)
            }
        }
        await end(mustLinger: mustLinger)
    }

    /// The client has yet to take what waits for it. The task ends, and with it what it has
    /// allocated; another one goes on.
    private var mustPark: Bool { unsentBytes > limits.pipelinedBytes && !isBroken }

    private func unpark() {
        guard isParked, !mustPark else { return }
        isParked = false
        goOn()
    }

    private func goOn() { Task(executorPreference: loop) { await self.runHTTP1() } }

    private enum FirstBytes { case http2, other, none }

    /// Waits until it shows which protocol the client speaks: HTTP/2 by prior knowledge begins with
    /// its preface (RFC 9113 §3.3).
    private func firstBytes() async -> FirstBytes {
        let preface = FrameGuard.preface
        while true {
            let count = min(unreadBytes, preface.count)
            guard input[inputStart..<(inputStart + count)].elementsEqual(preface[..<count]) else {
                return .other
            }
            if count == preface.count { return .http2 }
            if count == 0 {
                if server.isDraining { return .none }
                setDeadline(.idle, after: limits.idle)
            } else if deadline != .head {
                setDeadline(.head, after: limits.headDeadline)
            }
            // What came is a request line that is none; the parser says so.
            guard await fillHead() else { return count == 0 ? .none : .other }
        }
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
                    return refuseHead(problem)
                case .needMore:
                    if isFirst { setDeadline(.head, after: limits.headDeadline) }
                }
            } else if server.isDraining {
                return false
            }
            if parser.isFresh { setDeadline(.idle, after: limits.idle) }
            guard await fillHead() else {
                return expired == .head ? refuseHead(.requestTimeout) : false
            }
        }
    }

    /// Answers a head that is none; what of it was understood goes to the access log.
    private func refuseHead(_ problem: ProtocolProblem) -> Bool {
        exchange.started = loop.now
        exchange.begin()
        refuse(problem)
        server.configuration.observer?.exchangeEnded(exchange)
        return false
    }

    private func beginExchange() -> Bool {
        // The parser has checked the framing; it cannot fail a second time.
        framing = (try? exchange.head.framing()) ?? .none
        chunks = framing == .chunked ? ChunkDecoder(limits) : nil
        mustContinue = framing != .none && exchange.head.expectsContinue
        keepsAlive = exchange.head.keepsAlive
        bodyRate = BodyRate()
        exchange.begin()
        server.statistics.requests.add(1)
        return true
    }

    /// What must happen between an answer and the next request; false where there is none.
    private func endExchange() async -> Bool {
        disarm()
        if exchange.responseStatus == 0 { refuse(failure ?? .handlerFailed) }
        if stream == .open {
            flush()
            // Where the end of the connection is the end of the answer, only a reset tells them
            // apart.
            if exchange.head.isHTTP10 { Socket.resetOnClose(descriptor) }
            breakOff()
        }
        server.configuration.observer?.exchangeEnded(exchange)
        exchange.end()
        exchangeNumber &+= 1
        if isBroken || !keepsAlive { return false }
        guard await discardBody(), failure == nil else { return false }
        exchange.responseStatus = 0
        stream = .none
        return !isBroken
    }

    /// Content of these methods means nothing (RFC 9110 §9.3.1): it is thrown away before the
    /// answer, so that a body with broken framing is refused however its bytes come. False:
    /// answered already.
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
    func end(mustLinger: Bool) async {
        isEnding = true
        await waitForReader(atMost: 0)
        if mustLinger || isReadable, !isBroken, !isAtEnd {
            Socket.endSending(descriptor)
            expired = nil
            setDeadline(.lingering, after: limits.lingering)
            use(input.count - inputStart)
            while await fill() { use(input.count - inputStart) }
        }
        close()
    }

    /// Closing with bytes unread resets the connection, which can take the answer away from a
    /// client that has not read it. Bytes may be on their way unless the client itself said it was
    /// done.
    private var mustLinger: Bool {
        // Who did not send a head in time has next to nothing on its way.
        if isBroken || isAtEnd || expired == .idle || expired == .head { return false }
        return framing != .none || inputStart < input.count || failure != nil
            || exchange.responseStatus != 0 && server.isDraining
    }

    /// No more bytes in or out: whoever waits finds out at once.
    func breakOff() {
        isBroken = true
        armed.wake()
        resumeReader()
        resumeWriter()
    }

    func close() {
        guard !isClosed else { return }
        countUnsent(0)
        isClosed = true
        breakOff()
        session?.closeStreams()
        setDeadline(nil)
        setStallDeadline(false)
        disarm()
        loop.remove(slot: slot)
        // Its streams' ends are still to be logged, and another may have the descriptor by then.
        if session != nil { _ = peer }
        Socket.close(descriptor)
        server.connectionClosed(countedAddress)
    }

    /// A connection without a request under way is over; one with, ends behind its answer.
    func beginDrain() {
        if let session {
            session.beginDrain()
        } else if deadline == .idle {
            endReading()
        } else {
            armed.wake()
        }
    }

    /// Not broken off: an answer may still be on its way out.
    func endReading() {
        expired = .idle
        resumeReader()
    }

    // MARK: - Events and deadlines

    func handle(_ event: Poller.Event) {
        if event.isEnded {
            peerEnded = true
            armed.wake()
            session?.wakeStreams()
        }
        if event.isReadable || event.isEnded {
            isReadable = true
            resumeReader()
        }
        if event.isWritable {
            isWritable = true
            if outputStart < output.count { flush() }
        }
        if event.isBroken, writeWaiter != nil || isParked { breakOff() }
    }

    func setDeadline(_ kind: Deadline?, after duration: Duration = .zero) {
        if kind == nil {
            if deadline != nil { loop.timers.cancel(deadlineTimer) }
            deadline = nil
        } else {
            deadline = kind
            loop.timers.arm(deadlineTimer, at: loop.now + duration)
        }
    }

    private func deadlinePassed() {
        // Bytes that came while the server itself was late are looked at first.
        if isReadable, deadline == .body || deadline == .idle {
            return loop.timers.arm(deadlineTimer, at: loop.now + .milliseconds(100))
        }
        expired = deadline
        resumeReader()
    }

    /// An answer that is on its way but not taken: every taken byte buys another period.
    func setStallDeadline(_ isStalled: Bool) {
        if isStalled {
            loop.timers.arm(stallTimer, at: loop.now + limits.writeStall)
        } else if isStallArmed {
            loop.timers.cancel(stallTimer)
        }
        isStallArmed = isStalled
    }

    /// Tells the server's budget what this connection holds for its client; nothing once it is
    /// closed, though it may still be in the queue of those that have something to send.
    func countUnsent(_ byteCount: Int) {
        guard !isClosed, byteCount != countedBytes else { return }
        server.budget.add(byteCount - countedBytes)
        countedBytes = byteCount
    }

    /// A reset, for a regular end waits in the kernel behind the bytes nobody takes, for minutes
    /// and with megabytes for each connection.
    private func stalled() {
        isStallArmed = false
        Socket.resetOnClose(descriptor)
        breakOff()
    }

    func arm(_ wakeup: Wakeup, until deadline: Instant?) {
        // A waiter may stay for a minute, and thousands of them: it keeps no buffers.
        if output.isEmpty { output = [] }
        if input.isEmpty { input = [] }
        let isDue = clientIsGone || server.isDraining || mustEndSoon
        armed.arm(wakeup, until: deadline, isDue: isDue)
    }

    func disarm() { armed.disarm() }

    func ender() -> @Sendable () -> Void {
        let number = exchangeNumber
        return { [self] in loop.run { self.endSoon(number) } }
    }

    private func endSoon(_ number: UInt64) {
        guard number == exchangeNumber, !isClosed, !mustEndSoon else { return }
        mustEndSoon = true
        keepsAlive = false
        armed.wake()
        let cut = WheelTimer { [self] in if number == exchangeNumber { breakOff() } }
        loop.timers.arm(cut, at: loop.now + limits.lingering)
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
        unpark()
    }
}
