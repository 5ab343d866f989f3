import Foundation
import HTTPServer
import Platform
import Synchronization
import TestSupport
import Testing

@Suite(.serialized) struct `HTTP server` {
    @Test func `pipelined requests are answered in order`() throws {
        let server = try TestServer()
        let requests = (0..<100).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined()
        let answer = server.exchange(requests + canary)
        let paths = answer.components(separatedBy: "\r\n\r\n").dropFirst().map {
            $0.components(separatedBy: "HTTP/1.1")[0]
        }
        #expect(Array(paths) == (0..<100).map { "/\($0)" } + ["/canary"])
    }

    /// RELIABILITY.md d-1, "Pipelining": 100,000 queued requests wait in the kernel and not in us.
    @Test func `a flood of pipelined requests is answered in bounded memory`() throws {
        let server = try TestServer()
        let client = RawClient(port: server.port)
        let count = 100_000
        startThread("client") {
            let block = String(repeating: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", count: 1000)
            for _ in 0..<(count / 1000) { client.send(block) }
            client.send(canary)
        }
        let answers = client.receiveAll()
        let heads = String(decoding: answers, as: UTF8.self).components(
            separatedBy: "HTTP/1.1 200 OK"
        ).count
        #expect(heads - 1 == count + 1)
    }

    @Test func `a body is read whole whether its length is told or it is chunked`() throws {
        let server = try TestServer()
        #expect(
            server.exchange(
                "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"
            ).hasSuffix("\r\n\r\nabc"))
        #expect(
            server.exchange(
                "POST / HTTP/1.1\r\nHost: a\r\n"
                    + "Connection: close\r\nTransfer-Encoding: chunked\r\n"
                    + "\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
            ).hasSuffix("\r\n\r\nabc"))
    }

    @Test func `HEAD tells the length and sends no body`() throws {
        let server = try TestServer()
        let answer = server.exchange("HEAD /abc HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(answer.contains("content-length: 4\r\n"))
        #expect(answer.hasSuffix("\r\n\r\n"))
    }

    @Test func `100-continue is sent when the handler reads, and not when it refuses`() throws {
        let server = try TestServer()
        let client = RawClient(port: server.port)
        client.send(
            "POST / HTTP/1.1\r\nHost: a\r\n"
                + "Connection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        #expect(client.receive(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
        client.send("abc")
        #expect(client.receive(until: "abc").hasPrefix("HTTP/1.1 200 OK\r\n"))

        let refusing = try TestServer { $0.respond(Response(status: 403, contentType: nil)) }
        let refused = refusing.exchange(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
                + canary)
        #expect(refused.hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
        #expect(refused.contains("connection: close\r\n"))
        #expect(refused.components(separatedBy: "HTTP/1.1 ").count == 2)
    }

    /// RFC 9112 §9.6: the client must be able to read the answer to what it is still sending.
    @Test
    func `an early answer reaches a client in the middle of a large body, which is no request`()
        throws
    {
        let server = try TestServer { $0.respond(Response(status: 404, contentType: nil)) }
        let client = RawClient(port: server.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n")
        startThread("client") { client.send(Array(repeating: 0x47, count: 8 << 20)) }
        let answer = client.receiveAll()
        #expect(statuses(of: answer) == [404])
    }

    @Test func `a body over the handler's limit is refused before it comes`() throws {
        let server = try TestServer()
        let answer = server.exchange(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 413 "))
    }

    @Test func `a stream is chunked, and ends without its last chunk when the handler gives up`()
        throws
    {
        let server = try TestServer { exchange in
            exchange.startStream(Response(status: 200, contentType: "text/plain"))
            try? await exchange.write(Array("abc".utf8))
            if exchange.head.bytes[exchange.head.path].elementsEqual("/whole".utf8) {
                exchange.finish()
            }
        }
        let whole = server.exchange("GET /whole HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(whole.hasSuffix("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
        let broken = server.exchange("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n" + canary)
        #expect(broken.hasSuffix("3\r\nabc\r\n"))
    }

    @Test func `a reader that stops holds a stream at its buffer's size, and is cut`() throws {
        let written = Atomic<Int>(0)
        let isCut = Wakeup()
        let server = try TestServer { exchange in
            exchange.startStream(Response(status: 200, contentType: "text/plain"))
            let block = [UInt8](repeating: 0x61, count: 64 << 10)
            while (try? await exchange.write(block)) != nil {
                written.add(block.count, ordering: .relaxed)
            }
            isCut.wake()
        } change: {
            $0.limits.writeStall = .milliseconds(300)
        }
        let client = RawClient(port: server.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait { await isCut.wait() }
        // What the kernel's buffers hold, and ours.
        #expect(written.load(ordering: .relaxed) < 32 << 20)
        // A regular end would wait in the kernel behind what the client does not take.
        _ = client.receiveAll()
        #expect(client.isReset)
    }

    @Test func `a slow head is answered 408 at its deadline, however it dribbles`() throws {
        let server = try TestServer(change: { $0.limits.headDeadline = .milliseconds(200) })
        let client = RawClient(port: server.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX")
        #expect(statuses(of: client.receiveAll()) == [408])
    }

    /// Else whoever waits is woken twice, and thousands that are cut together cost twice as much.
    @Test func `the last answer leaves in one packet with the end of its connection`() throws {
        let server = try TestServer()
        func segments(_ field: String) -> UInt32 {
            let client = RawClient(port: server.port)
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\(field)\r\n")
            _ = client.receive(until: "\r\n\r\n")
            if !field.isEmpty { #expect(client.receive().isEmpty && client.isClosedByPeer) }
            return client.segmentsReceived
        }
        #expect(segments("Connection: close\r\n") == segments(""))
    }

    /// Closing with its bytes unread would be a reset, and take away what the kernel has yet to send.
    @Test func `a last answer arrives whole where its client sends on while it reads`() throws {
        let server = try TestServer(handler: { exchange in
            let body = [UInt8](repeating: 1, count: 8 << 20)
            exchange.respond(Response(status: 200, contentType: nil, body: body))
        })
        let client = RawClient(port: server.port, receiveBuffer: 4096)
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        let begun = client.receive()
        client.send("GET / HTTP/1.1\r\n")
        let rest = client.receiveAll()
        #expect(!client.isReset && begun.count + rest.count > 8 << 20)
    }

    @Test func `who did not send a head in time is not waited for`() throws {
        let server = try TestServer(change: {
            $0.limits.headDeadline = .milliseconds(100)
            $0.limits.lingering = .seconds(600)
        })
        let client = RawClient(port: server.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX")
        #expect(statuses(of: client.receiveAll()) == [408])
        #expect(eventually { server.server.currentStatistics().openConnections == 0 })
    }

    /// The answer is queued, its send fails, and the connection is closed before the queue's turn.
    @Test func `the budget bears nothing for clients that reset before their answer`() throws {
        let isAsked = Wakeup()
        let mayAnswer = Wakeup()
        let server = try TestServer(
            handler: { exchange in
                if exchange.head.method == .put {
                    let status = exchange.serverIsShortOfMemory ? 503 : 204
                    return exchange.respond(Response(status: status, contentType: nil))
                }
                isAsked.wake()
                await mayAnswer.wait()
                let body = [UInt8](repeating: 1, count: 300_000)
                exchange.respond(Response(status: 200, contentType: nil, body: body))
            }, change: { $0.limits.bufferedBytes = 100_000 })
        do {
            let client = RawClient(port: server.port)
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            wait { await isAsked.wait() }
            client.resetOnClose()
        }
        mayAnswer.wake()
        #expect(eventually { server.server.currentStatistics().openConnections == 0 })
        let answer = server.exchange("PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 204 "))
    }

    @Test func `a body below the least rate is answered 408`() throws {
        let server = try TestServer(change: { $0.limits.bodyGrace = .milliseconds(200) })
        let client = RawClient(port: server.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
        #expect(statuses(of: client.receiveAll()) == [408])
    }

    @Test func `an idle connection is closed without a word`() throws {
        let server = try TestServer(change: { $0.limits.idle = .milliseconds(100) })
        #expect(RawClient(port: server.port).receiveAll().isEmpty)
    }

    @Test func `an armed wakeup comes at its deadline, and at once when the client goes`() throws {
        let reasons = Mutex<[String]>([])
        let done = Wakeup()
        let server = try TestServer { exchange in
            let wakeup = Wakeup()
            let milliseconds: Duration =
                exchange.head.method == .get ? .milliseconds(30) : .seconds(60)
            exchange.arm(wakeup, until: exchange.now + milliseconds)
            await wakeup.wait()
            reasons.withLock { $0.append(exchange.clientIsGone ? "gone" : "deadline") }
            exchange.respond(Response(status: 204, contentType: nil))
            done.wake()
        }
        #expect(
            server.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").hasPrefix(
                "HTTP/1.1 204 "))
        wait { await done.wait() }
        do {
            let client = RawClient(port: server.port)
            client.send("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n")
            client.endSending()
            #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 204 "))
        }
        wait { await done.wait() }
        #expect(reasons.withLock { $0 } == ["deadline", "gone"])
    }

    @Test func `no byte of a value can end a field`() throws {
        let server = try TestServer { exchange in
            var response = Response(status: 200, contentType: nil)
            response.fields = [("x-evil", "a\r\nset-cookie: b\0c")]
            exchange.respond(response)
        }
        let answer = server.exchange(canary)
        #expect(answer.contains("x-evil: a??set-cookie: b?c\r\n"))
    }

    @Test func `a drain ends idle connections, wakes waiting handlers and accepts no more`() throws
    {
        let server = try TestServer { exchange in
            let wakeup = Wakeup()
            exchange.arm(wakeup, until: nil)
            await wakeup.wait()
            exchange.respond(
                Response(
                    status: 200, contentType: nil, body: Array("\(exchange.serverIsDraining)".utf8))
            )
        }
        let idle = RawClient(port: server.port)
        let waiting = RawClient(port: server.port)
        waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        while server.server.currentStatistics().requests == 0 { usleep(1000) }
        server.server.drain()
        #expect(idle.receiveAll().isEmpty)
        let answer = String(decoding: waiting.receiveAll(), as: UTF8.self)
        #expect(answer.contains("connection: close\r\n") && answer.hasSuffix("true"))
    }

    /// Pitfalls 28 and 52: descriptors come back, whatever state a client leaves a connection in.
    @Test func `connections that are dropped in any state leave nothing behind`() throws {
        let server = try TestServer()
        func descriptors() -> Int {
            (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
        }
        let before = descriptors()
        for round in 0..<2000 {
            let client = RawClient(port: server.port)
            let text = [
                "", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab",
            ][round % 4]
            client.send(text)
        }
        var tries = 0
        while server.server.currentStatistics().openConnections > 0, tries < 5000 {
            usleep(1000)
            tries += 1
        }
        #expect(server.server.currentStatistics().openConnections == 0)
        // Other tests open files beside this one; a leak would be 2,000.
        #expect(descriptors() < before + 1000)
    }

    @Test func `connections beyond the limit are refused and counted`() throws {
        let server = try TestServer(change: { $0.limits.connections = 2 })
        let clients = (0..<3).map { _ in RawClient(port: server.port, receiveTimeoutSeconds: 1) }
        #expect(clients[2].receiveAll().isEmpty)
        #expect(clients[2].isClosedByPeer)
        #expect(server.server.currentStatistics().refusedConnections == 1)
    }
}

/// Waits for an async call from a synchronous test.
private func wait(_ body: @escaping @Sendable () async -> Void) {
    let done = DispatchSemaphore(value: 0)
    Task.detached {
        await body()
        done.signal()
    }
    done.wait()
}
