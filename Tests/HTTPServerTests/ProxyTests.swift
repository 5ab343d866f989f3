import HTTPServer
import TestSupport
import Testing

@Suite struct `An address` {
    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("::1", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"), ("0.0.0.0", "0.0.0.0"),
    ])
    func `is read and written`(text: String, written: String) {
        #expect(Address(text)?.text == written)
    }

    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", "a", "::1%lo", "1:2",
        "[::1]", "1.2.3.4\u{0}", ":::", "0x1.2.3.4", "-1.2.3.4",
    ])
    func `that is none is refused`(text: String) { #expect(Address(text) == nil) }

    @Test func `is in a range by its first bits`() throws {
        let range = try #require(AddressRange("10.1.0.0/15"))
        #expect(range.contains(try #require(Address("10.0.0.1"))))
        #expect(range.contains(try #require(Address("10.1.255.255"))))
        #expect(!range.contains(try #require(Address("10.2.0.0"))))
        let single = try #require(AddressRange("2001:db8::1"))
        #expect(single.contains(try #require(Address("2001:db8::1"))))
        #expect(!single.contains(try #require(Address("2001:db8::2"))))
        #expect(try #require(AddressRange("0.0.0.0/0")).contains(try #require(Address("9.9.9.9"))))
        #expect(!(try #require(AddressRange("0.0.0.0/0")).contains(try #require(Address("::1")))))
        for bad in ["10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "/8", "10.0.0.0/+8"] {
            #expect(AddressRange(bad) == nil, "\(bad)")
        }
    }
}

/// Vectors of HAProxy's proxy-protocol.txt, and what is near them.
@Suite struct `The PROXY protocol's header` {
    private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]

    private func line(_ text: String) -> ProxyHeader { ProxyHeader.parse(Array(text.utf8)[...]) }

    private func binary(_ command: UInt8, _ family: UInt8, _ block: [UInt8]) -> [UInt8] {
        let length = [UInt8(block.count >> 8), UInt8(block.count & 255)]
        return Self.signature + [command, family] + length + block
    }

    @Test(arguments: [
        ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443", "192.0.2.1"),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535", "255.255.255.255"),
        ("PROXY TCP6 2001:db8::1 2001:db8::2 0 1", "2001:db8::1"),
    ])
    func `of version 1 names the client`(text: String, source: String) {
        let header = Array((text + "\r\n").utf8)
        let wanted = ProxyHeader.complete(byteCount: header.count, source: Address(source))
        #expect(ProxyHeader.parse((header + Array("GET".utf8))[...]) == wanted)
        for length in 0..<header.count {
            #expect(ProxyHeader.parse(header[..<length]) == .needMore)
        }
    }

    @Test func `of version 1 may not know the client`() {
        #expect(line("PROXY UNKNOWN\r\n") == .complete(byteCount: 15, source: nil))
        let long = "PROXY UNKNOWN " + String(repeating: "f", count: 91) + "\r\n"
        #expect(line(long) == .complete(byteCount: 107, source: nil))
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n", "proxy UNKNOWN\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "PROXY \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n", "X",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "\r\n\r\nX", "\r\n\r\n\0\r\nQUIX",
    ])
    func `that is broken is told at once`(text: String) { #expect(line(text) == .malformed) }

    @Test func `of version 1 has 107 bytes at most`() {
        let long = "PROXY UNKNOWN " + String(repeating: "f", count: 92) + "\r\n"
        #expect(line(long) == .malformed)
        #expect(line(String(long.prefix(106))) == .needMore)
    }

    @Test func `of version 2 names the client, with extensions behind it`() {
        let v4: [UInt8] = [192, 0, 2, 1, 198, 51, 100, 1, 0xDC, 4, 1, 0xBB]
        let v6 = [0x20, 1, 0xD, 0xB8] + [UInt8](repeating: 0, count: 11) + [1]
        for extra in [[], [3, 0, 4, 1, 2, 3, 4]] as [[UInt8]] {
            let header = binary(0x21, 0x11, v4 + extra)
            #expect(
                ProxyHeader.parse((header + [1, 2, 3])[...])
                    == .complete(byteCount: 28 + extra.count, source: Address("192.0.2.1")))
            for length in 0..<header.count {
                #expect(ProxyHeader.parse(header[..<length]) == .needMore)
            }
            let other = binary(0x21, 0x21, v6 + v6 + [0, 1, 0, 2] + extra)
            #expect(
                ProxyHeader.parse(other[...])
                    == .complete(byteCount: 52 + extra.count, source: Address("2001:db8::1")))
        }
    }

    @Test func `of version 2 may speak for the balancer itself`() {
        for (command, family) in [(0x20, 0), (0x20, 0x11), (0x21, 0), (0x21, 0x31)]
            as [(UInt8, UInt8)]
        {
            let header = binary(command, family, [UInt8](repeating: 1, count: 12))
            #expect(ProxyHeader.parse(header[...]) == .complete(byteCount: 28, source: nil))
        }
    }

    @Test func `of version 2 is checked`() {
        let block = [UInt8](repeating: 0, count: 12)
        for header in [
            binary(0x11, 0x11, block), binary(0x22, 0x11, block), binary(0x21, 0x11, [1, 2]),
            binary(0x21, 0x21, block),
            binary(0x21, 0x11, [UInt8](repeating: 0, count: ProxyHeader.byteLimit)),
        ] {
            #expect(ProxyHeader.parse(header[...]) == .malformed)
        }
    }

    @Test func `of any bytes gets a verdict, the same however they are cut`() {
        var random = SeededRandom(seed: 11)
        let seeds = [
            Array("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".utf8),
            binary(0x21, 0x11, [192, 0, 2, 1, 198, 51, 100, 1, 0xDC, 4, 1, 0xBB]),
        ]
        for round in 0..<50_000 {
            var bytes = seeds[round % 2]
            for _ in 0...random.below(3) {
                bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
            }
            let verdict = ProxyHeader.parse(bytes[...])
            for length in 0..<bytes.count where ProxyHeader.parse(bytes[..<length]) != .needMore {
                // What is decided early stays so.
                #expect(ProxyHeader.parse(bytes[..<length]) == verdict)
            }
        }
    }
}

@Suite struct `Balancers in front` {
    /// Answers with the client of each request.
    private func server(
        connectionsPerAddress: Int? = nil, _ change: (inout TrustedProxies) -> Void
    ) throws -> TestServer {
        var proxies = TrustedProxies()
        change(&proxies)
        return try TestServer(
            handler: { exchange in
                let text = "client=\(exchange.proxiedClient ?? "none");"
                exchange.respond(
                    Response(status: 200, contentType: "text/plain", body: Array(text.utf8)))
            },
            change: {
                $0.proxies = proxies
                $0.limits.connectionsPerAddress = connectionsPerAddress
            })
    }

    private func client(_ server: TestServer, _ fields: String, before: String = "") -> String {
        let answer = server.exchange(
            "\(before)GET / HTTP/1.1\r\nHost: a\r\n\(fields)Connection: close\r\n\r\n")
        guard let start = answer.firstRange(of: "client=")?.upperBound else { return answer }
        return String(answer[start...].prefix { $0 != ";" })
    }

    private static let loopback = AddressRange("127.0.0.0/8")!
    private static let inner = AddressRange("10.0.0.0/8")!

    @Test(arguments: [
        ("", "127.0.0.1"), ("X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.9\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 10.0.0.9\r\n", "192.0.2.7"),
        ("X-Forwarded-For: 192.0.2.7:4711\r\n", "192.0.2.7"),
        ("X-Forwarded-For: [2001:db8::7]:80\r\n", "2001:db8::7"),
        ("X-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7"),
        ("X-Forwarded-For: 10.0.0.8, 10.0.0.9\r\n", "10.0.0.8"),
        ("X-Forwarded-For: 6.6.6.6, nonsense, 10.0.0.9\r\n", "10.0.0.9"),
        ("X-Forwarded-For: ,,,\r\n", "127.0.0.1"), ("X-Forwarded-For: 6.6.6.6,\r\n", "6.6.6.6"),
        ("Forwarded: for=6.6.6.6\r\n", "127.0.0.1"),
    ])
    func `are believed their one field, from its end`(fields: String, client: String) throws {
        let server = try server { $0.ranges = [Self.loopback, Self.inner] }
        #expect(self.client(server, fields) == client)
    }

    @Test(arguments: [
        ("Forwarded: for=192.0.2.7\r\n", "192.0.2.7"),
        ("Forwarded: for=6.6.6.6, proto=http;For=\"[2001:db8::7]:80\";by=_x\r\n", "2001:db8::7"),
        ("Forwarded: for=_hidden\r\n", "127.0.0.1"), ("Forwarded: for=unknown\r\n", "127.0.0.1"),
        ("X-Forwarded-For: 6.6.6.6\r\n", "127.0.0.1"),
    ])
    func `may write Forwarded instead`(fields: String, client: String) throws {
        let server = try server {
            $0.ranges = [Self.loopback]
            $0.field = .forwarded
        }
        #expect(self.client(server, fields) == client)
    }

    @Test func `that are not listed are not believed`() throws {
        let server = try server { $0.ranges = [Self.inner] }
        #expect(client(server, "X-Forwarded-For: 6.6.6.6\r\n") == "127.0.0.1")
    }

    @Test func `that send the header must send it first`() throws {
        let server = try server {
            $0.ranges = [Self.loopback]
            $0.sendsProxyHeader = true
        }
        let header = "PROXY TCP4 192.0.2.9 127.0.0.1 5 6\r\n"
        #expect(client(server, "", before: header) == "192.0.2.9")
        #expect(client(server, "") == "", "closed without a word")
        #expect(client(server, "", before: "PROXY UNKNOWN\r\n") == "127.0.0.1")
        // The client the header names is no balancer: its field is not believed.
        #expect(client(server, "X-Forwarded-For: 6.6.6.6\r\n", before: header) == "192.0.2.9")
    }

    @Test func `have no share of the connections: each of their clients has one`() throws {
        let server = try server(connectionsPerAddress: 2) {
            $0.ranges = [Self.loopback, Self.inner]
            $0.sendsProxyHeader = true
        }
        func open(_ client: String) -> RawClient {
            let connection = RawClient(port: server.port)
            let header = "PROXY TCP4 \(client) 127.0.0.1 5 6\r\n"
            connection.send("\(header)GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return connection
        }
        var clients = ["192.0.2.1", "192.0.2.2", "10.0.0.1"].flatMap { [open($0), open($0)] }
        clients.append(open("10.0.0.1"))
        for client in clients { #expect(client.receive(until: ";").contains("client=")) }
        #expect(open("192.0.2.1").receiveAll().isEmpty, "closed without a word")
        #expect(server.server.currentStatistics().refusedConnections == 1)
        clients.removeAll()
        #expect(eventually { server.server.currentStatistics().openConnections == 0 })
        #expect(open("192.0.2.1").receive(until: ";").contains("client=192.0.2.1;"))
    }

    @Test func `that name the clients of requests are not held to the share of one`() throws {
        let server = try server(connectionsPerAddress: 2) { $0.ranges = [Self.loopback] }
        let connections = (0..<5).map { _ in RawClient(port: server.port) }
        for connection in connections { connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
        for connection in connections {
            #expect(connection.receive(until: ";").contains("client="))
        }
    }

    @Test func `that are not listed cannot send the header`() throws {
        let server = try server {
            $0.ranges = [Self.inner]
            $0.sendsProxyHeader = true
        }
        let answer = server.exchange("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 400 "))
        #expect(client(server, "") == "127.0.0.1")
    }
}
