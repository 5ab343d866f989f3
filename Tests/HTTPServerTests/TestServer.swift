import Glibc
import HTTPServer
import Platform
import TestSupport

/// A real server on a free port, with a handler of closures.
final class TestServer: Sendable {
    let server: Server
    let port: UInt16
    /// As the server tells it.
    let address: String

    init(
        time: any TimeSource = SystemTime(),
        handler: @escaping @Sendable (Exchange) async -> Void = TestServer.echo,
        change: (inout Server.Configuration) -> Void = { _ in }
    ) throws {
        var configuration = Server.Configuration()
        configuration.port = 0
        configuration.loopCount = 2
        change(&configuration)
        server = Server(configuration, handler: Handler(body: handler), time: time)
        address = try server.start()
        port = UInt16(address.split(separator: ":").last!)!
    }

    deinit { server.stop() }

    struct Handler: RequestHandler {
        let body: @Sendable (Exchange) async -> Void
        func handle(_ exchange: Exchange) async { await body(exchange) }
    }

    /// Answers with the request's body, or with its path where it has none.
    static func echo(_ exchange: Exchange) async {
        do {
            var body = try await exchange.readBody(limit: 1 << 20)
            if body.isEmpty { body = Array(exchange.head.bytes[exchange.head.path]) }
            exchange.respond(Response(status: 200, contentType: "text/plain", body: body))
        } catch BodyError.tooSlow {
            exchange.respond(Response(status: 408, contentType: nil))
        } catch {
            exchange.respond(Response(status: 413, contentType: nil))
        }
    }

    /// Sends and returns everything until the server closes.
    func exchange(_ request: String) -> String {
        let client = RawClient(port: port)
        client.send(request)
        return String(decoding: client.receiveAll(), as: UTF8.self)
    }
}

/// Whether `condition` comes to hold, looked at for ten seconds at most.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<10_000 {
        if condition() { return true }
        usleep(1000)
    }
    return false
}

let canary = "GET /canary HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
