import Glibc

/// A blocking HTTP/1.1 client on one kept connection, cheap enough not to be what is measured.
final class BenchClient {
    private let descriptor: Int32
    private var buffer = [UInt8](repeating: 0, count: 1 << 20)
    private var held: [UInt8] = []

    init(port: UInt16) throws(Failure) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { throw Failure("cannot connect to 127.0.0.1:\(port)") }
    }

    deinit { close(descriptor) }

    /// Sends a request and returns the status and body of its answer, which must tell its length.
    func exchange(_ request: [UInt8]) throws(Failure) -> (status: Int, body: ArraySlice<UInt8>) {
        var sent = 0
        while sent < request.count {
            let count = request.withUnsafeBytes {
                send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure("the server closed the connection") }
            sent += count
        }
        held.removeAll(keepingCapacity: true)
        var end: Int?
        while true {
            if end == nil { end = headEnd() }
            if let end {
                let length = contentLength(end)
                if held.count >= end + length {
                    return (status(), held[end..<(end + length)])
                }
            }
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { throw Failure("the server closed the connection") }
            held.append(contentsOf: buffer[..<count])
        }
    }

    /// `GET` or `POST` with a body of JSON.
    static func request(_ method: String, _ path: String, _ body: [UInt8] = []) -> [UInt8] {
        let type = body.isEmpty ? "" : "content-type: application/json\r\n"
        let head =
            "\(method) \(path) HTTP/1.1\r\nhost: bench\r\n\(type)content-length: "
            + "\(body.count)\r\n\r\n"
        return Array(head.utf8) + body
    }

    private func status() -> Int { held[9..<12].reduce(0) { $0 * 10 + Int($1) - 0x30 } }

    private func headEnd() -> Int? {
        guard held.count >= 4 else { return nil }
        for index in 3..<held.count where held[index] == 0x0A {
            if held[index - 1] == 0x0D, held[index - 2] == 0x0A, held[index - 3] == 0x0D {
                return index + 1
            }
        }
        return nil
    }

    private func contentLength(_ headEnd: Int) -> Int {
        let head = String(decoding: held[..<headEnd], as: UTF8.self).lowercased()
        guard
            let field = head.split(separator: "\r\n").first(where: {
                $0.hasPrefix("content-length:")
            })
        else { return 0 }
        return Int(field.split(separator: " ").last ?? "") ?? 0
    }
}
