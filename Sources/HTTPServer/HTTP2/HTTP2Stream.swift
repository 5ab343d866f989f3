import Platform

/// One request and its answer on a connection that speaks HTTP/2.
// @unchecked: everything is touched on the thread of the session's loop only; its task prefers it.
final class HTTP2Stream: ExchangeCarrier, @unchecked Sendable {
    private enum Answer { case none, open, finished }

    let id: Int32
    private let session: HTTP2Session
    /// Kept by the task as well, for it may outlive what the loop knows of the connection.
    private let connection: Connection
    private lazy var exchange = Exchange(self)
    private let armed: ArmedWakeup
    /// Why the head is no request; nil where it is one.
    private var problem: ProtocolProblem?
    private(set) var declaredBodyLength: Int?

    // The request's body: what came and is not yet taken.
    private var body: [UInt8] = []
    /// The server had no room for some of it: the rest is of no use either.
    private var isBodyLost = false
    private var isBodyComplete: Bool
    private var mustContinue = false
    private var failure: ProtocolProblem?
    private var bodyRate = BodyRate()
    private var bodyWaiter: UnsafeContinuation<Void, Never>?
    private var isBodyLate = false
    private lazy var bodyTimer = WheelTimer { [unowned self] in bodyDeadlinePassed() }

    private var answer = Answer.none
    private var isAnswerSent = false
    private var discardedBytes = 0
    private var bytesSinceYield = 0
    private var isStallArmed = false
    private lazy var stallTimer = WheelTimer { [unowned self] in stalled() }
    /// Reset by either side, ended, or its connection is gone.
    private var isClosed = false
    /// Who asked may not go on.
    private(set) var mustEndSoon = false

    init(_ id: Int32, _ session: HTTP2Session, _ block: FieldBlock, isWhole: Bool) {
        self.id = id
        self.session = session
        connection = session.connection
        armed = ArmedWakeup(connection.loop)
        isBodyComplete = isWhole
        do throws(ProtocolProblem) {
            try exchange.head.take(block, limits)
            if case .length(let count) = try exchange.head.framing() { declaredBodyLength = count }
            if isWhole { declaredBodyLength = 0 }
            mustContinue = !isWhole && exchange.head.expectsContinue
        } catch {
            problem = error
        }
    }

    var server: Server { connection.server }
    var loop: EventLoop { connection.loop }
    var peer: String { connection.peer }
    var clientIsGone: Bool { isClosed || connection.clientIsGone }
    var isFull: Bool { session.willBeFull }
    func countAnswer(_ byteCount: Int) { session.answerBytes += byteCount }
    private var limits: Limits { connection.limits }
    private var codec: FrameCodec { session.codec }

    // MARK: - Hot path

    func run() async {
        exchange.started = loop.now
        server.statistics.requests.add(1)
        if session.isFull { await waitForRoom() }
        if let problem {
            refuse(problem)
        } else if !isClosed {
            await server.handler.handle(exchange)
        }
        end()
    }

    /// Answers that nobody takes must not be joined by more of them. Who cannot wait for them is
    /// sent to another connection (RFC 9113 §8.7).
    private func waitForRoom() async {
        let timer = WheelTimer { [self] in
            guard !isClosed, session.isFull else { return }
            failure = .requestTimeout
            session.refuse(id)
        }
        var sent = session.sentBodyBytes
        loop.timers.arm(timer, at: loop.now + limits.fullConnection)
        while session.isFull, !isClosed {
            await session.somethingLeft()
            if session.sentBodyBytes - sent < limits.shortAnswerBytes { continue }
            sent = session.sentBodyBytes
            loop.timers.arm(timer, at: loop.now + limits.fullConnection)
        }
        loop.timers.cancel(timer)
    }

    /// The handler is done; what it left undone shows as a reset and not as a short answer.
    private func end() {
        armed.disarm()
        if exchange.responseStatus == 0 { refuse(failure ?? .handlerFailed) }
        if answer == .open { reset(.internalError) }
        server.configuration.observer?.exchangeEnded(exchange)
        exchange.end()
    }

    // MARK: - The request's body

    func nextBodyBytes() async throws(BodyError) -> [UInt8]? {
        while true {
            if let failure { throw BodyError(failure) }
            if isBodyLost { throw .noMemory }
            if !body.isEmpty { return takeBody() }
            if isBodyComplete { return nil }
            if isClosed { throw .broken }
            await waitForBody()
        }
    }

    private func takeBody() -> [UInt8] {
        var taken: [UInt8] = []
        if body.count <= 64 << 10 {
            swap(&taken, &body)
        } else {
            taken = Array(body[..<(64 << 10)])
            body.removeFirst(64 << 10)
        }
        session.letGo(taken.count)
        if !isClosed { codec.consume(id, taken.count) }
        connection.flushSoon()
        return taken
    }

    /// Waits for more of the body, at the least rate a client must keep.
    private func waitForBody() async {
        if mustContinue { sendContinue() }
        let isTimed = limits.bodyRate > 0
        let began = loop.now
        if isTimed { loop.timers.arm(bodyTimer, at: began + bodyRate.patience(limits)) }
        await withUnsafeContinuation { bodyWaiter = $0 }
        guard isTimed else { return }
        loop.timers.cancel(bodyTimer)
        let byteCount = exchange.receivedBodyBytes
        if bodyRate.isTooSlow(loop.now - began, at: byteCount, limits) || isBodyLate {
            failure = .requestTimeout
        }
    }

    private func bodyDeadlinePassed() {
        if isAnswerSent { return reset(.noError) }
        isBodyLate = true
        resumeBodyWaiter()
    }

    private func resumeBodyWaiter() {
        let waiter = bodyWaiter
        bodyWaiter = nil
        waiter?.resume()
    }

    private func sendContinue() {
        mustContinue = false
        codec.submitInformational(id, ResponseFields(status: 100))
        connection.flushSoon()
    }

    func bodyCame(_ bytes: [UInt8]) {
        mustContinue = false
        exchange.receivedBodyBytes += bytes.count
        if let declared = declaredBodyLength, exchange.receivedBodyBytes > declared {
            failure = .malformedRequest
        }
        if answer == .finished || isBodyLost { return discard(bytes.count) }
        if session.hold(bytes.count) {
            body.append(contentsOf: bytes)
        } else {
            isBodyLost = true
            discard(bytes.count + dropBody())
        }
        resumeBodyWaiter()
    }

    /// Lets go of what came and was not taken; returns how much that was.
    private func dropBody() -> Int {
        let byteCount = body.count
        body = []
        session.letGo(byteCount)
        return byteCount
    }

    /// Nobody will take it: other streams must not wait for its share of the window, and the client
    /// must not send it all.
    private func discard(_ byteCount: Int) {
        codec.consumeConnection(byteCount)
        discardedBytes += byteCount
        if isAnswerSent, discardedBytes > limits.discardedBodyBytes { reset(.noError) }
    }

    func bodyEnded() {
        isBodyComplete = true
        if let declared = declaredBodyLength, exchange.receivedBodyBytes != declared {
            failure = .malformedRequest
        }
        resumeBodyWaiter()
    }

    // MARK: - The answer

    func respond(_ response: Response) {
        assert(loop.isOnLoop, "answered on another thread")
        guard exchange.responseStatus == 0 else { return assertionFailure("answered twice") }
        // Of a slow body the handler knows more.
        if let failure, failure != .requestTimeout { return refuse(failure) }
        send(response)
    }

    /// The server's own answer.
    private func refuse(_ problem: ProtocolProblem) {
        guard exchange.responseStatus == 0 else { return reset(.internalError) }
        send(problem.response)
    }

    private func send(_ response: Response) {
        var fields = fields(response)
        let hasBody = response.status != 204 && response.status != 304
        if hasBody { fields.append("content-length", "\(response.body.count)") }
        let isBodySent = hasBody && exchange.head.method != .head && !response.body.isEmpty
        submit(fields, body: isBodySent ? response.body : nil, isEnded: true)
        finishAnswer()
    }

    private func fields(_ response: Response) -> ResponseFields {
        exchange.responseStatus = response.status
        var fields = ResponseFields(status: response.status)
        fields.append("date", loop.date)
        if let type = response.contentType { fields.append("content-type", type) }
        for (name, value) in response.fields { fields.append(name, value) }
        return fields
    }

    /// What came of a body that will not be read does not hold up other streams.
    private func finishAnswer() {
        answer = .finished
        let unread = dropBody()
        if unread > 0, !isClosed { discard(unread) }
    }

    private func submit(_ fields: ResponseFields, body: [UInt8]?, isEnded: Bool) {
        guard !isClosed else { return }
        codec.submit(id, fields, body: body, isEnded: isEnded)
        exchange.sentBytes += fields.byteCount + (body?.count ?? 0)
        setStallDeadline(codec.unsentBytes(id) > 0)
        countUnsent()
        connection.flushSoon()
    }

    /// At once: a hundred handlers may wake in the same turn, and each asks what there is left.
    private func countUnsent() {
        connection.countUnsent(connection.unsentBytes + codec.unsentBytes)
    }

    func startStream(_ response: Response) {
        guard exchange.responseStatus == 0 else { return assertionFailure("answered twice") }
        if let failure { return refuse(failure) }
        if mustContinue { sendContinue() }
        let isHead = exchange.head.method == .head
        submit(fields(response), body: isHead ? nil : [], isEnded: false)
        answer = .open
        if isHead { finishAnswer() }
    }

    func write(_ bytes: [UInt8]) async throws(StreamError) {
        guard answer == .open else { return }
        if isClosed { throw .clientGone }
        if bytes.isEmpty { return }
        codec.append(id, bytes)
        countUnsent()
        exchange.sentBytes += bytes.count
        if !isStallArmed { setStallDeadline(true) }
        connection.flushSoon()
        bytesSinceYield += bytes.count
        if bytesSinceYield > 256 << 10 {
            bytesSinceYield = 0
            await loop.nextTurn()
        }
        while codec.unsentBytes(id) > (session.isFull ? 0 : limits.streamBufferBytes), !isClosed {
            await session.somethingLeft()
        }
        if isClosed { throw .clientGone }
    }

    func finish(_ last: [UInt8]) {
        guard answer == .open else { return }
        if !last.isEmpty {
            codec.append(id, last)
            if !isStallArmed, !isClosed { setStallDeadline(true) }
        }
        codec.end(id)
        finishAnswer()
        connection.flushSoon()
    }

    /// Bytes of the answer left for the socket: the client opened its window.
    func bodyLeft(_ byteCount: Int) {
        if byteCount > 0 { setStallDeadline(codec.unsentBytes(id) > 0) }
    }

    /// RFC 9113 §8.1: the answer is whole, and the rest of the request is not wanted; a little of
    /// it may be on its way.
    func answerLeft() {
        isAnswerSent = true
        guard !isBodyComplete else { return }
        discard(0)
        loop.timers.arm(bodyTimer, at: loop.now + limits.lingering)
    }

    /// An answer whose client opens no window: every byte it takes buys another period.
    private func setStallDeadline(_ isStalled: Bool) {
        if isStalled {
            loop.timers.arm(stallTimer, at: loop.now + limits.writeStall)
        } else if isStallArmed {
            loop.timers.cancel(stallTimer)
        }
        isStallArmed = isStalled
    }

    private func stalled() {
        isStallArmed = false
        reset(.cancel)
    }

    // MARK: - Waiting and its end

    func arm(_ wakeup: Wakeup, until deadline: Instant?) {
        let isDue = clientIsGone || server.isDraining || mustEndSoon
        armed.arm(wakeup, until: deadline, isDue: isDue)
    }

    func disarm() { armed.disarm() }

    func ender() -> @Sendable () -> Void {
        { [self] in loop.run { self.endSoon() } }
    }

    private func endSoon() {
        guard !isClosed, !mustEndSoon else { return }
        mustEndSoon = true
        armed.wake()
        let cut = WheelTimer { [self] in reset(.cancel) }
        loop.timers.arm(cut, at: loop.now + limits.lingering)
    }

    func clientAddress(_ head: RequestHead) -> Address { connection.clientAddress(head) }

    func wake() { armed.wake() }

    private func reset(_ error: HTTP2Error) {
        guard !isClosed else { return }
        codec.reset(id, error)
        connection.flushSoon()
    }

    /// Nothing more comes or goes: whoever waits finds out at once.
    func close() {
        isClosed = true
        setStallDeadline(false)
        loop.timers.cancel(bodyTimer)
        let unread = dropBody()
        if unread > 0 {
            codec.consumeConnection(unread)
            // Whole or not, its end has come and this has not been read: it is a broken one.
            failure = failure ?? .malformedRequest
        }
        armed.wake()
        resumeBodyWaiter()
        session.resumeWaiting()
    }
}
