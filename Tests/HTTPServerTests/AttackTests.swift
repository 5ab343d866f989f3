import Glibc
import HTTPServer
import Platform
import Synchronization
import TestSupport
import Testing

/// Clients that mean harm, or are only slow: what they may cost, and that others are still served.
@Suite(.serialized) struct `Attacks on the HTTP server` {
    private let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    /// RELIABILITY.md d-1, "Pipelining": answers wait for their reader and do not pile up.
    @Test func `a client that pipelines without reading is not served without end`() throws {
        let server = try TestServer {
            $0.respond(
                Response(
                    status: 200, contentType: nil, body: [UInt8](repeating: 0x61, count: 64 << 10)))
        } change: {
            $0.loopCount = 1
        }
        let flood = RawClient(port: server.port, receiveBuffer: 4096)
        flood.send(String(repeating: get, count: 4000))
        // The same loop serves another client, so it has looked at the flood.
        for _ in 0..<100 { #expect(server.exchange(canary).hasPrefix("HTTP/1.1 200 ")) }
        #expect(server.server.currentStatistics().requests < 100 + 400)
        #expect(flood.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
    }

    /// One loop, and a hundred requests of each of fifty clients before it.
    @Test func `who asks once does not wait for all that others asked at once`() throws {
        let handled = Atomic<Int>(0)
        let server = try TestServer { exchange in
            handled.add(1, ordering: .relaxed)
            usleep(200)
            exchange.respond(Response(status: 200, contentType: nil))
        } change: {
            $0.loopCount = 1
        }
        let clients = (0..<50).map { _ in RawClient(port: server.port) }
        for client in clients { client.send(String(repeating: get, count: 100)) }
        #expect(server.exchange(canary).hasPrefix("HTTP/1.1 200 "))
        #expect(handled.load(ordering: .relaxed) < 2500)
        withExtendedLifetime(clients) {}
    }

    @Test func `a client that never stops sending leaves the loop to others`() throws {
        let server = try TestServer(change: { $0.loopCount = 1 })
        let mustStop = Atomic<Bool>(false)
        for method in ["GET", "POST"] {
            let greedy = RawClient(port: server.port)
            let block = Array(String(repeating: get, count: 4000).utf8)
            if method == "POST" {
                greedy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n")
            }
            startThread("greedy") {
                while !mustStop.load(ordering: .relaxed), greedy.send(block) {}
            }
            startThread("reader") { while !greedy.receive().isEmpty {} }
        }
        for _ in 0..<20 { #expect(server.exchange(canary).hasPrefix("HTTP/1.1 200 ")) }
        mustStop.store(true, ordering: .relaxed)
    }

    @Test func `a fast reader of an endless stream leaves the loop to others`() throws {
        let server = try TestServer { exchange in
            if exchange.head.path.count > 1 { return await TestServer.echo(exchange) }
            exchange.startStream(Response(status: 200, contentType: nil))
            let block = [UInt8](repeating: 0x61, count: 512)
            while (try? await exchange.write(block)) != nil {}
        } change: {
            $0.loopCount = 1
        }
        let greedy = RawClient(port: server.port)
        greedy.send(get)
        let mustStop = Atomic<Bool>(false)
        startThread("reader") {
            while !mustStop.load(ordering: .relaxed), !greedy.receive().isEmpty {}
        }
        for _ in 0..<20 { #expect(server.exchange(canary).hasPrefix("HTTP/1.1 200 ")) }
        mustStop.store(true, ordering: .relaxed)
    }

    /// RFC 9112 §9.6: lingering is a courtesy of two seconds, not a way to stay.
    @Test(arguments: [
        "BAD\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n",
    ])
    func `a refused client that never stops sending is cut`(request: String) throws {
        let server = try TestServer {
            $0.respond(Response(status: 404, contentType: nil))
        } change: {
            $0.limits.lingering = .milliseconds(200)
        }
        let client = RawClient(port: server.port)
        client.send(request)
        let isCut = Atomic<Bool>(false)
        startThread("client") {
            while client.send([UInt8](repeating: 0x61, count: 64 << 10)) {}
            isCut.store(true, ordering: .relaxed)
        }
        #expect(eventually { isCut.load(ordering: .relaxed) })
        #expect(eventually { server.server.currentStatistics().openConnections == 0 })
    }

    /// The kernel breaks a connection without a reset, and counts from when the client's window
    /// closes: here half a second before its own buffer is full. The limits' defaults by ten.
    @Test func `a reader that takes nothing is told that it is cut`() throws {
        let server = try TestServer { exchange in
            exchange.startStream(Response(status: 200, contentType: nil))
            let block = [UInt8](repeating: 0x61, count: 8 << 10)
            while (try? await exchange.write(block)) != nil {
                let pause = Wakeup()
                exchange.arm(pause, until: exchange.now + .milliseconds(100))
                await pause.wait()
            }
        } change: {
            $0.limits.writeStall = Limits().writeStall / 10
            $0.limits.silence = Limits().silence / 10
        }
        let client = RawClient(port: server.port, receiveBuffer: 4096)
        client.send(get)
        #expect(eventually { server.server.currentStatistics().requests == 1 })
        #expect(eventually { server.server.currentStatistics().openConnections == 0 })
        #expect(eventually { !client.isEstablished })
    }

    /// A byte now and then must not buy a whole period: the rate is that of the body, not of a
    /// read.
    @Test func `a body that dribbles is cut at the least rate`() throws {
        let time = ManualTime()
        let server = try TestServer(time: time)
        let client = RawClient(port: server.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        var sent = server.server.currentStatistics().receivedBytes
        for _ in 0..<8 {
            sent = server.server.currentStatistics().receivedBytes
            client.send("a")
            guard eventually({ server.server.currentStatistics().receivedBytes > sent }) else {
                break
            }
            time.advance(by: .seconds(1))
        }
        client.send("a")
        #expect(statuses(of: client.receiveAll()) == [408])
    }

    /// The period counts while the handler waits for bytes, not while it does something else.
    @Test func `a body that waits for its handler is not slow`() throws {
        let time = ManualTime()
        let go = Wakeup()
        let isWaiting = Atomic<Bool>(false)
        let server = try TestServer(time: time) { exchange in
            _ = try? await exchange.nextBodyBytes()
            isWaiting.store(true, ordering: .relaxed)
            await go.wait()
            await TestServer.echo(exchange)
        }
        let client = RawClient(port: server.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\na")
        #expect(eventually { isWaiting.load(ordering: .relaxed) })
        time.advance(by: .seconds(600))
        client.send("bc")
        go.wake()
        #expect(statuses(of: client.receiveAll()) == [200])
    }

    @Test func `garbage behind a stream does not take the stream's end with it`() throws {
        let server = try TestServer { exchange in
            exchange.startStream(Response(status: 200, contentType: nil))
            try? await exchange.write(Array("abc".utf8))
            exchange.finish()
        }
        #expect(
            server.exchange(get + "garbage\r\n\r\n").contains("3\r\nabc\r\n0\r\n\r\nHTTP/1.1 400 "))
    }

    @Test func `a stream that is given up never looks whole to an HTTP/1.0 client`() throws {
        let server = try TestServer { exchange in
            exchange.startStream(Response(status: 200, contentType: nil))
            try? await exchange.write(Array("abc".utf8))
        }
        let client = RawClient(port: server.port)
        client.send("GET / HTTP/1.0\r\n\r\n")
        _ = client.receiveAll()
        #expect(client.isReset)
    }

    @Test func `a drain lets an answer out that its client has not read yet`() throws {
        let size = 16 << 20
        let server = try TestServer {
            $0.respond(
                Response(status: 200, contentType: nil, body: [UInt8](repeating: 0x61, count: size))
            )
        } change: {
            // All of it is handed over at once, and the connection is idle while it goes out.
            $0.limits.streamBufferBytes = 64 << 20
        }
        let client = RawClient(port: server.port, receiveBuffer: 65536)
        client.send(get)
        #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
        server.server.drain()
        #expect(client.receiveAll().count > size - (256 << 10))
    }

    /// Pitfall 47: the drain or the client's end may come before the handler begins to wait.
    @Test func `a wakeup armed behind the event it waits for comes at once`() throws {
        let isDrained = Wakeup()
        let server = try TestServer { exchange in
            let first = Wakeup()
            exchange.arm(first, until: nil)
            await first.wait()
            let second = Wakeup()
            exchange.arm(second, until: nil)
            await second.wait()
            isDrained.wake()
            exchange.respond(Response(status: 204, contentType: nil))
        }
        let gone = RawClient(port: server.port)
        gone.send(get)
        gone.endSending()
        #expect(statuses(of: gone.receiveAll()) == [204])
        let drained = RawClient(port: server.port)
        drained.send(get)
        #expect(eventually { server.server.currentStatistics().requests == 2 })
        server.server.drain()
        #expect(statuses(of: drained.receiveAll()) == [204])
    }

    /// A heartbeat into a full pipe is no sign of life.
    @Test func `small writes do not put off the cut of a reader that stands still`() throws {
        let time = ManualTime()
        let turns = Atomic<Int>(0)
        let isCut = Atomic<Bool>(false)
        let server = try TestServer(time: time) { exchange in
            if exchange.head.path.count > 1 { return await TestServer.echo(exchange) }
            exchange.startStream(Response(status: 200, contentType: nil))
            try? await exchange.write([UInt8](repeating: 0x61, count: 32 << 20))
            while (try? await exchange.write([0x62])) != nil, turns.load(ordering: .relaxed) < 100 {
                let wakeup = Wakeup()
                exchange.arm(wakeup, until: exchange.now + .seconds(10))
                turns.add(1, ordering: .relaxed)
                await wakeup.wait()
            }
            isCut.store(true, ordering: .relaxed)
        } change: {
            $0.limits.streamBufferBytes = 64 << 20
        }
        let client = RawClient(port: server.port, receiveBuffer: 65536)
        client.send(get)
        for turn in 1..<8 {
            #expect(
                eventually {
                    turns.load(ordering: .relaxed) >= turn || isCut.load(ordering: .relaxed)
                })
            time.advance(by: .seconds(11))
            // An event of another connection lets each loop look at the clock.
            for _ in 0..<2 { _ = server.exchange(canary) }
        }
        #expect(eventually { isCut.load(ordering: .relaxed) })
        #expect(turns.load(ordering: .relaxed) < 7)
        _ = client.receive()
    }

    @Test func `a body that came with its head is no reason to close, though 100 was expected`()
        throws
    {
        let server = try TestServer()
        let answer = server.exchange(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
                + canary)
        #expect(statuses(of: Array(answer.utf8)) == [200, 200])
    }

    @Test func `the access log learns of answers, of refused heads and of nothing else`() throws {
        final class Log: ExchangeObserver {
            let lines = Mutex<[String]>([])
            func exchangeEnded(_ exchange: Exchange) {
                let path = String(decoding: exchange.head.bytes[exchange.head.path], as: UTF8.self)
                let line = "\(exchange.head.method.rawValue) \(path) \(exchange.responseStatus)"
                lines.withLock { $0.append("\(line) \(exchange.receivedBodyBytes)") }
                #expect(exchange.sentBytes > 0 && exchange.peer.hasPrefix("127.0.0.1:"))
            }
        }
        let log = Log()
        let server = try TestServer(change: { $0.observer = log })
        _ = server.exchange(
            "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + "BAD\r\n\r\n")
        _ = server.exchange("GET /b HTTP/1.1\r\n\r\n")
        #expect(log.lines.withLock { $0 } == ["PUT /a 200 3", "GET  400 0", "GET /b 400 0"])
    }

    @Test func `the server listens on IPv6 and says so`() throws {
        let server = try TestServer(change: { $0.host = "::1" })
        #expect(server.address.hasPrefix("[::1]:"))
    }

    @Test func `an address has its share of the connections and leaves the rest to others`() throws
    {
        let server = try TestServer(change: { $0.limits.connectionsPerAddress = 2 })
        var clients = (0..<2).map { _ in RawClient(port: server.port) }
        for client in clients { client.send(get) }
        for client in clients { #expect(client.receive(until: "\r\n\r\n").contains(" 200 ")) }
        let refused = RawClient(port: server.port)
        #expect(refused.receiveAll().isEmpty && refused.isClosedByPeer)
        clients.removeAll()
        #expect(eventually { server.server.currentStatistics().openConnections == 0 })
        #expect(server.exchange(canary).hasPrefix("HTTP/1.1 200 "))
    }

    private func reader(of budget: Int) throws -> TestServer {
        try TestServer { exchange in
            var answer = Response(status: 200, contentType: nil)
            do throws(BodyError) { _ = try await exchange.readBody(limit: 1 << 20) } catch {
                if case .noMemory = error { answer.status = 503 } else { answer.status = 400 }
            }
            exchange.respond(answer)
        } change: {
            $0.limits.bufferedBytes = budget
        }
    }

    private let large =
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n"

    /// RELIABILITY.md, "memory": refused before it is allocated, and let go of with the exchange.
    @Test func `bodies beyond the budget of all connections are refused as they come`() throws {
        let server = try reader(of: 300_000)
        let body = String(repeating: "a", count: 200_000)
        for _ in 0..<3 {
            let before = server.server.currentStatistics().receivedBytes
            let first = RawClient(port: server.port)
            first.send(large + body.dropLast())
            #expect(
                eventually {
                    server.server.currentStatistics().receivedBytes - before >= body.utf8.count
                })
            #expect(statuses(of: Array(server.exchange(large + body).utf8)) == [503])
            first.send("a")
            #expect(statuses(of: first.receiveAll()) == [200])
        }
        #expect(statuses(of: Array(server.exchange(large + body).utf8)) == [200])
    }

    /// A head of a hundred bytes must not take what 200,000 bytes would.
    @Test func `bodies that are announced and do not come leave the budget to others`() throws {
        let server = try reader(of: 300_000)
        let clients = (0..<20).map { _ in RawClient(port: server.port) }
        for client in clients {
            client.send(large.replacing("\r\n\r\n", with: "\r\nExpect: 100-continue\r\n\r\n"))
            #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 100 "))
        }
        let body = String(repeating: "a", count: 200_000)
        #expect(statuses(of: Array(server.exchange(large + body).utf8)) == [200])
        withExtendedLifetime(clients) {}
    }

    /// A credential may be revoked while its last answer leaves.
    @Test func `an exchange that is ended when it is over takes nothing from the next`() throws {
        let enders = Mutex<[@Sendable () -> Void]>([])
        let server = try TestServer { exchange in
            enders.withLock { $0.append(exchange.ender()) }
            let status = exchange.serverIsDraining ? 503 : 200
            exchange.respond(Response(status: status, contentType: nil))
        }
        let client = RawClient(port: server.port)
        for _ in 0..<5 {
            client.send(get)
            #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
            for end in enders.withLock({ $0 }) { end() }
        }
    }
}
