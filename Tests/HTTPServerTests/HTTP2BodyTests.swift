import HTTPServer
import Platform
import TestSupport
import Testing

/// Bodies over HTTP/2 that no handler has taken yet: they count against what the server may hold.
struct HTTP2BodyTests {
    private static let bodyBytes = 240_000
    private let large =
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n"
        + String(repeating: "a", count: 200_000)

    /// Answers as the budget says; over HTTP/2 nothing is read before `mayRead`.
    private func server(of budget: Int, _ mayRead: Wakeup) throws -> TestServer {
        try TestServer { exchange in
            if exchange.head.method == .put { await mayRead.wait() }
            var answer = Response(status: 200, contentType: nil)
            do throws(BodyError) { _ = try await exchange.readBody(limit: 1 << 20) } catch {
                if case .noMemory = error { answer.status = 500 } else { answer.status = 400 }
            }
            exchange.respond(answer)
        } change: {
            $0.limits.bufferedBytes = budget
        }
    }

    private func frame(_ kind: UInt8, flags: UInt8, stream: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16), UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF), kind, flags]
            + [0, 0, 0, stream] + payload
    }

    /// A PUT of `bodyBytes`, sent in whole: less than the window of a stream.
    private func upload(to server: TestServer) -> RawClient {
        let client = RawClient(port: server.port)
        // HPACK: `:method: PUT` in letters, `:scheme: http`, `:path: /`, `:authority: a`.
        let head: [UInt8] = [0x02, 3] + Array("PUT".utf8) + [0x86, 0x84, 0x01, 1, 0x61]
        let parts = Self.bodyBytes / 16_000
        client.send(FrameGuard.preface + frame(4, flags: 0, stream: 0, []))
        // The windows are the server's own from when its SETTINGS are acknowledged.
        #expect(!client.receive().isEmpty)
        var bytes = frame(4, flags: 1, stream: 0, [])
        bytes += frame(1, flags: 0x4, stream: 1, head)
        for part in 1...parts {
            let body = [UInt8](repeating: 0x61, count: 16_000)
            bytes += frame(0, flags: part == parts ? 1 : 0, stream: 1, body)
        }
        client.send(bytes)
        return client
    }

    private func waitForBody(_ server: TestServer) {
        #expect(
            eventually { server.server.currentStatistics().receivedBytes > Self.bodyBytes })
    }

    /// The first field of the first head that comes: 0x88 is status 200, 0x8E 500 (RFC 7541 A).
    private func status(_ client: RawClient) -> UInt8? {
        var bytes: [UInt8] = []
        while true {
            var at = 0
            while at + 9 < bytes.count {
                if bytes[at + 3] == 1 { return bytes[at + 9] }
                at += 9 + Int(bytes[at]) << 16 + Int(bytes[at + 1]) << 8 + Int(bytes[at + 2])
            }
            let more = client.receive()
            if more.isEmpty { return nil }
            bytes += more
        }
    }

    @Test func `what waits for its handler is not there for others, and is again when taken`()
        throws
    {
        let mayRead = Wakeup()
        let server = try server(of: 300_000, mayRead)
        let client = upload(to: server)
        waitForBody(server)
        #expect(statuses(of: Array(server.exchange(large).utf8)) == [500])
        mayRead.wake()
        #expect(status(client) == 0x88)
        #expect(statuses(of: Array(server.exchange(large).utf8)) == [200])
    }

    @Test func `what the budget has no room for is refused, and nothing of it is kept`() throws {
        let mayRead = Wakeup()
        let server = try server(of: 100_000, mayRead)
        let client = upload(to: server)
        waitForBody(server)
        let small = large.replacing("200000", with: "90000").dropLast(110_000)
        #expect(statuses(of: Array(server.exchange(String(small)).utf8)) == [200])
        mayRead.wake()
        #expect(status(client) == 0x8E)
    }

    @Test func `a client that goes takes what it had waiting with it`() throws {
        let mayRead = Wakeup()
        let server = try server(of: 300_000, mayRead)
        do {
            let client = upload(to: server)
            waitForBody(server)
            withExtendedLifetime(client) {}
        }
        #expect(eventually { server.server.currentStatistics().openConnections == 0 })
        #expect(statuses(of: Array(server.exchange(large).utf8)) == [200])
        mayRead.wake()
    }

    /// The length of the first frame of `kind` that comes; nil where the connection ends or stands
    /// still before it.
    private func lengthOfFrame(_ kind: UInt8, _ client: RawClient) -> Int? {
        var bytes: [UInt8] = []
        while true {
            while bytes.count >= 9 {
                let length = Int(bytes[0]) << 16 + Int(bytes[1]) << 8 + Int(bytes[2])
                if bytes[3] == kind { return length }
                guard bytes.count >= 9 + length else { break }
                bytes.removeFirst(9 + length)
            }
            let more = client.receive()
            if more.isEmpty { return nil }
            bytes += more
        }
    }

    /// Asks for a packed stream of one event that ends at `mayEnd`, with a window of so many bytes.
    private func stream(window: UInt8, _ mayEnd: Wakeup) throws -> (TestServer, RawClient) {
        let server = try TestServer { exchange in
            exchange.startStream(Response(status: 200, contentType: "text/event-stream"))
            try? await exchange.write(Array("data: 1\n\n".utf8))
            await mayEnd.wait()
            exchange.finish()
        } change: {
            $0.limits.writeStall = .milliseconds(100)
        }
        let client = RawClient(port: server.port)
        let settings: [UInt8] = [0, 4, 0, 0, 0, window]
        client.send(FrameGuard.preface + frame(4, flags: 0, stream: 0, settings))
        // HPACK: GET, http, /, `:authority: a`, `accept-encoding: gzip, deflate`.
        let head: [UInt8] = [0x82, 0x86, 0x84, 0x01, 1, 0x61, 0x90]
        client.send(frame(1, flags: 0x5, stream: 1, head))
        return (server, client)
    }

    /// A window for what came before is none for gzip's trailer.
    @Test func `an answer whose last bytes nobody takes is reset when it has stood still`() throws {
        let soon = Wakeup()
        let (first, client) = try stream(window: 255, soon)
        let dataBytes = try #require(lengthOfFrame(0, client))
        soon.wake()
        let mayEnd = Wakeup()
        let (second, slow) = try stream(window: UInt8(dataBytes), mayEnd)
        #expect(lengthOfFrame(0, slow) == dataBytes)
        mayEnd.wake()
        #expect(lengthOfFrame(3, slow) != nil)
        withExtendedLifetime((first, second)) {}
    }
}
