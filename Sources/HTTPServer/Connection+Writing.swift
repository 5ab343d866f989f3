import Platform

extension Connection {
    // MARK: - Hot path

    func respond(_ response: Response) {
        assert(loop.isOnLoop, "answered on another thread")
        guard exchange.responseStatus == 0 else { return assertionFailure("answered twice") }
        // Of a slow body the handler knows more.
        if let failure, failure != .requestTimeout { return refuse(failure) }
        sendWhole(response)
    }

    /// The server's own answer; the connection closes behind it.
    func refuse(_ problem: ProtocolProblem) {
        guard exchange.responseStatus == 0 else { return breakOff() }
        failure = problem
        keepsAlive = false
        sendWhole(problem.response)
    }

    private func sendWhole(_ response: Response) {
        if !canDiscardBody { keepsAlive = false }
        let hasBody = response.status != 204 && response.status != 304
        // Written to a local: each access to a property of a class is checked at run time.
        var out: [UInt8] = []
        swap(&out, &output)
        let before = out.count
        writeHead(response, to: &out)
        if hasBody {
            out.append(contentsOf: "content-length: ".utf8)
            out.appendDecimal(Int64(response.body.count))
            out.append(contentsOf: "\r\n\r\n".utf8)
            if exchange.head.method != .head { out.append(contentsOf: response.body) }
        } else {
            out.append(contentsOf: "\r\n".utf8)
        }
        let byteCount = out.count - before
        swap(&out, &output)
        queued(byteCount)
    }

    /// Whether what is left of the body can be thrown away to reach the next request. A client that
    /// waits for 100 may send its body or not: nobody can tell where the next request begins.
    private var canDiscardBody: Bool {
        if mustContinue { return false }
        guard case .length(let remaining) = framing else { return true }
        return remaining <= limits.discardedBodyBytes
    }

    /// Status line and fields, without the empty line.
    private func writeHead(_ response: Response, to out: inout [UInt8]) {
        exchange.responseStatus = response.status
        if server.isDraining { keepsAlive = false }
        if response.status == 200 {
            out.append(contentsOf: "HTTP/1.1 200 OK\r\n".utf8)
        } else {
            out.append(contentsOf: "HTTP/1.1 ".utf8)
            out.appendDecimal(Int64(response.status))
            out.append(UInt8(ascii: " "))
            out.append(contentsOf: reasonPhrase(response.status).utf8)
            out.append(contentsOf: "\r\n".utf8)
        }
        out.append(contentsOf: loop.dateField())
        if let type = response.contentType { out.appendField("content-type: ", type) }
        for (name, value) in response.fields {
            out.append(contentsOf: name.utf8)
            out.appendField(": ", value)
        }
        if !keepsAlive {
            out.appendField("connection: ", "close")
        } else if exchange.head.isHTTP10 {
            out.appendField("connection: ", "keep-alive")
        }
    }

    // MARK: - Streams

    func startStream(_ response: Response) {
        guard exchange.responseStatus == 0 else { return assertionFailure("answered twice") }
        if let failure { return refuse(failure) }
        if mustContinue {
            mustContinue = false
            send(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
        }
        if exchange.head.isHTTP10 { keepsAlive = false }
        let before = output.count
        writeHead(response, to: &output)
        if !exchange.head.isHTTP10 {
            output.append(contentsOf: "transfer-encoding: chunked\r\n".utf8)
        }
        output.append(contentsOf: "\r\n".utf8)
        stream = exchange.head.method == .head ? .finished : .open
        queued(output.count - before)
    }

    func write(_ bytes: [UInt8]) async throws(StreamError) {
        guard stream == .open else { return }
        if isBroken { throw .clientGone }
        if bytes.isEmpty { return }
        sendChunk(bytes)
        bytesSinceYield += bytes.count
        if bytesSinceYield > 256 << 10 {
            bytesSinceYield = 0
            await loop.nextTurn()
        }
        await waitForReader()
        if isBroken { throw .clientGone }
    }

    /// Returns when no more than `atMost` bytes (`Limits.streamBufferBytes`) are unsent, or it
    /// broke.
    func waitForReader(atMost limit: Int? = nil) async {
        let limit = limit ?? limits.streamBufferBytes
        while unsentBytes > limit, !isBroken {
            flush()
            if unsentBytes <= limit || isBroken { return }
            await withUnsafeContinuation { writeWaiter = $0 }
        }
    }

    private func sendChunk(_ bytes: [UInt8]) {
        let before = output.count
        if exchange.head.isHTTP10 {
            output.append(contentsOf: bytes)
        } else {
            output.append(contentsOf: String(bytes.count, radix: 16).utf8)
            output.append(contentsOf: "\r\n".utf8)
            output.append(contentsOf: bytes)
            output.append(contentsOf: "\r\n".utf8)
        }
        queued(output.count - before)
    }

    func finish(_ last: [UInt8]) {
        guard stream == .open else { return }
        stream = .finished
        if !last.isEmpty { sendChunk(last) }
        if !exchange.head.isHTTP10 { send(Array("0\r\n\r\n".utf8)) }
    }

    // MARK: - Out

    var unsentBytes: Int { output.count - outputStart }

    func send(_ bytes: [UInt8]) {
        output.append(contentsOf: bytes)
        queued(bytes.count)
    }

    /// `byteCount` more bytes wait: they leave with the turn's answers, or now if they are many.
    private func queued(_ byteCount: Int) {
        exchange.sentBytes += byteCount
        if unsentBytes > 256 << 10 { flush() }
        // Before others of this turn ask what they may have.
        if unsentBytes > limits.shortAnswerBytes { countUnsent(unsentBytes) }
        if unsentBytes > 0 { flushSoon() }
    }

    /// What there is to send leaves when the events of this turn are handled.
    func flushSoon() {
        guard !isQueuedForFlush else { return }
        isQueuedForFlush = true
        loop.flushLater(self)
    }

    func flushQueued() {
        isQueuedForFlush = false
        session?.fillOutput()
        flush()
    }

    /// Sends what the socket takes.
    func flush() {
        var progressed = false
        while outputStart < output.count, isWritable, !isBroken {
            switch Socket.send(descriptor, output, from: outputStart, isLast: isEnding) {
            case .bytes(let count):
                outputStart += count
                progressed = true
                server.statistics.sentBytes.add(UInt64(count))
            case .wouldBlock: isWritable = false
            case .failed: breakOff()
            }
        }
        if outputStart == output.count {
            // A larger buffer is not kept over the wait for the next request: 20,000 may be idle.
            if !output.isEmpty { output.removeAll(keepingCapacity: output.capacity <= 4096) }
            outputStart = 0
            setStallDeadline(false)
        } else if output.capacity > 2 * unsentBytes {
            // Half of it at least: what is moved is paid for by what was sent or appended.
            fitOutput()
        }
        if unsentBytes > 0, !isBroken, progressed || !isStallArmed { setStallDeadline(true) }
        countUnsent(unsentBytes + (session?.codec.unsentBytes ?? 0))
        if unsentBytes <= limits.streamBufferBytes || isBroken { resumeWriter() }
        // The rest in the next turn, for others have something to send as well.
        if let session, unsentBytes == 0, !isBroken, session.codec.wantsToSend { flushSoon() }
    }

    /// Keeps what is unsent in no more memory than it needs: a new array, for the old one is as
    /// large as all of it was.
    func fitOutput() {
        output = Array(output[outputStart...])
        outputStart = 0
    }
}

extension [UInt8] {
    /// RFC 9110 §5.5: no value carries a byte that ends a line or a string.
    mutating func appendField(_ name: String, _ value: String) {
        append(contentsOf: name.utf8)
        let start = count
        append(contentsOf: value.utf8)
        for index in start..<count where self[index] < 0x20 || self[index] == 0x7F {
            self[index] = UInt8(ascii: "?")
        }
        append(contentsOf: "\r\n".utf8)
    }

}
