import Platform

extension Connection {
    // MARK: - Hot path

    /// Waits for more input, `most` bytes of it; false when none will come: the peer ended, a
    /// deadline passed, it broke.
    func fill(atMost most: Int = 64 << 10) async -> Bool {
        while true {
            if isBroken || isAtEnd || expired != nil { return false }
            if mustYield {
                mustYield = false
                await loop.nextTurn()
                continue
            }
            if isReadable {
                let scratch = UnsafeMutableRawBufferPointer(rebasing: loop.scratch[..<most])
                switch Socket.receive(descriptor, into: scratch) {
                case .bytes(let count):
                    if inputStart > 0 { input.removeFirst(inputStart) }
                    inputStart = 0
                    input.append(contentsOf: scratch[..<count])
                    // Edge-triggered: a short read emptied the socket, the next bytes are a new
                    // event.
                    mustYield = count == loop.scratch.count
                    isReadable = count == most || peerEnded
                    server.statistics.receivedBytes.add(UInt64(count))
                    return true
                case .wouldBlock: isReadable = false
                case .ended:
                    peerEnded = true
                    isAtEnd = true
                    return false
                case .failed:
                    breakOff()
                    return false
                }
            }
            await withUnsafeContinuation { readWaiter = $0 }
        }
    }

    /// Bytes that came and are not yet used.
    var unreadBytes: Int { input.count - inputStart }

    /// Passes over input that was used, and lets go of the memory of a connection that holds none.
    func use(_ byteCount: Int) {
        inputStart += byteCount
        if inputStart == input.count {
            input.removeAll(keepingCapacity: input.capacity <= 4096)
            inputStart = 0
        }
    }

    /// For a head: requests behind it wait in the kernel, and a body is read in larger pieces.
    func fillHead() async -> Bool {
        await fill(atMost: max(limits.headReadBytes - unreadBytes, limits.headReadBytes / 2))
    }

    var declaredBodyLength: Int? {
        switch framing {
        case .none: 0
        case .length(let remaining): remaining
        case .chunked: nil
        }
    }

    func nextBodyBytes() async throws(BodyError) -> [UInt8]? {
        if let failure { throw BodyError(failure) }
        let most = 64 << 10
        while framing != .none {
            if inputStart < input.count {
                let body = try takeBody(most)
                exchange.receivedBodyBytes += body.count
                // A client that sends its body does not wait to be asked for it.
                mustContinue = false
                if !body.isEmpty { return body }
                continue
            }
            try await fillBody()
        }
        return nil
    }

    /// What of the input is body, `most` bytes of it; empty where more input is needed or at the
    /// end.
    private func takeBody(_ most: Int) throws(BodyError) -> [UInt8] {
        guard case .length(let remaining) = framing else { return try takeChunks(most) }
        let count = min(remaining, input.count - inputStart, most)
        let body = Array(input[inputStart..<(inputStart + count)])
        use(count)
        framing = remaining == count ? .none : .length(remaining - count)
        return body
    }

    private func takeChunks(_ most: Int) throws(BodyError) -> [UInt8] {
        var body: [UInt8] = []
        var position = inputStart
        do {
            while body.count < most,
                let range = try chunks?.next(input, at: &position, most: most - body.count)
            {
                body.append(contentsOf: input[range])
            }
        } catch {
            failure = error
            keepsAlive = false
            throw .broken
        }
        use(position - inputStart)
        if chunks?.isDone ?? true { framing = .none }
        return body
    }

    /// Waits for more of the body, at the least rate a client must keep.
    private func fillBody() async throws(BodyError) {
        if mustContinue {
            mustContinue = false
            send(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
        }
        let isTimed = limits.bodyRate > 0
        let began = loop.now
        if isTimed { setDeadline(.body, after: bodyRate.patience(limits)) }
        let hasMore = await fill()
        setDeadline(nil)
        // What this read brought is still in `input`.
        let byteCount = exchange.receivedBodyBytes + input.count - inputStart
        if isTimed, bodyRate.isTooSlow(loop.now - began, at: byteCount, limits) { expired = .body }
        if hasMore, expired == nil { return }
        if expired == .body {
            failure = .requestTimeout
        } else {
            // The peer ended within the body it announced: there may still be someone who reads.
            failure = .malformedRequest
        }
        keepsAlive = false
        throw expired == .body ? .tooSlow : .broken
    }
}
