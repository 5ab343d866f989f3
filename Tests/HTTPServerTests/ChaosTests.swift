import HTTPServer
import Platform
import Synchronization
import TestSupport
import Testing

/// Clients that do anything at any time, by seed, against handlers that do everything a handler
/// may.
@Suite(.serialized) struct `Chaos against the HTTP server` {
    // @unchecked: a child task inherits its parent's executor, which is the connection's loop.
    private struct Reader: @unchecked Sendable {
        let exchange: Exchange

        func run() async {
            // The end (nil) and a broken body both end it.
            while let bytes = try? await exchange.nextBodyBytes(), !bytes.isEmpty {}
        }
    }

    /// By its path: answers at once, reads some of the body, streams, waits, gives up, or says
    /// nothing.
    private static func handle(_ exchange: Exchange) async {
        let path = exchange.head.bytes[exchange.head.path]
        switch path.dropFirst().first {
        case UInt8(ascii: "s"):
            exchange.startStream(Response(status: 200, contentType: nil))
            for count in 0..<20 {
                do {
                    try await exchange.write([UInt8](repeating: 0x61, count: count << 10))
                } catch { return }
            }
            exchange.finish()
        case UInt8(ascii: "g"):
            exchange.startStream(Response(status: 200, contentType: nil))
            _ = try? await exchange.write([0x61])
        case UInt8(ascii: "w"):
            let wakeup = Wakeup()
            exchange.arm(wakeup, until: exchange.now + .milliseconds(20))
            await wakeup.wait()
            exchange.respond(Response(status: 204, contentType: nil))
        case UInt8(ascii: "d"):
            // Both ways at once, as a produce that acknowledges line by line.
            let reader = Reader(exchange: exchange)
            async let reading: Void = reader.run()
            exchange.startStream(Response(status: 200, contentType: nil))
            for _ in 0..<5 { _ = try? await exchange.write([0x61, 0x62]) }
            await reading
            exchange.finish()
        case UInt8(ascii: "p"):
            _ = try? await exchange.nextBodyBytes()
            exchange.respond(Response(status: 200, contentType: nil, body: [0x61]))
        case UInt8(ascii: "n"): break
        default: await TestServer.echo(exchange)
        }
    }

    private static func request(_ random: inout SeededRandom) -> [UInt8] {
        let method = ["GET", "POST", "HEAD", "PUT"][random.below(4)]
        let path = ["/", "/s", "/g", "/w", "/d", "/p", "/n"][random.below(7)]
        var text = "\(method) \(path) HTTP/1.\(random.below(6) == 0 ? 0 : 1)\r\nHost: a\r\n"
        if random.below(6) == 0 { text += "Expect: 100-continue\r\n" }
        if random.below(6) == 0 { text += "Connection: close\r\n" }
        let body = String(
            repeating: "b", count: random.below([10, 3000, 200_000][random.below(3)]))
        switch random.below(3) {
        case 0: text += "\r\n"
        case 1: text += "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        default:
            text +=
                "Transfer-Encoding: chunked\r\n\r\n\(String(body.utf8.count + 1, radix: 16))\r\n"
            text += "\(body)c\r\n0\r\n\r\n"
        }
        let bytes = Array(text.utf8)
        return random.below(5) == 0 ? random.mutated(bytes) : bytes
    }

    private static func misbehave(_ random: inout SeededRandom, port: UInt16) {
        let client = RawClient(port: port, receiveTimeoutSeconds: 1)
        for _ in 0...random.below(4) {
            var bytes: [UInt8] = []
            for _ in 0...random.below(3) { bytes += request(&random) }
            if random.below(4) == 0 { bytes.removeLast(random.below(bytes.count)) }
            client.send(bytes, piece: [.max, 1000, 17][random.below(3)])
            switch random.below(5) {
            case 0: return
            case 1: client.endSending()
            case 2: _ = client.receive()
            case 3: client.resetOnClose()
            default: break
            }
        }
    }

    /// Pitfalls 28, 51 and 52: the server lives, serves, and has nothing left of them.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func `whatever clients do, the server serves the next one and keeps nothing`(seed: UInt64)
        throws
    {
        let server = try TestServer(handler: Self.handle) {
            $0.limits.lingering = .milliseconds(100)
            $0.limits.headDeadline = .milliseconds(300)
            $0.limits.bodyGrace = .milliseconds(300)
            $0.limits.idle = .milliseconds(300)
            $0.limits.writeStall = .milliseconds(300)
        }
        let left = Atomic<Int>(8)
        let port = server.port
        for thread in 0..<8 {
            startThread("client") {
                var random = SeededRandom(seed: seed &* 100 &+ UInt64(thread))
                for _ in 0..<60 { Self.misbehave(&random, port: port) }
                left.subtract(1, ordering: .relaxed)
            }
        }
        while left.load(ordering: .relaxed) > 0 {
            #expect(server.exchange(canary).hasPrefix("HTTP/1.1 200 "), "seed \(seed)")
        }
        #expect(eventually { server.server.currentStatistics().openConnections == 0 })
        #expect(server.exchange(canary).hasPrefix("HTTP/1.1 200 "))
    }
}
