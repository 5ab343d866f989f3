import Glibc

/// A blocking HTTP/1.1 client on one kept connection, cheap enough not to be what is measured.
final class BenchClient {
    private let descriptor: Int32
    private var buffer: [UInt8]
    /// The last answer, as far as it has come.
    private var held: [UInt8] = []

    init(port: UInt16, bufferByteCount: Int = 1 << 20) throws(Failure) {
        buffer = [UInt8](repeating: 0, count: bufferByteCount)
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        var patience = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
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
        try send(request)
        return try receive()
    }

    func send(_ request: [UInt8]) throws(Failure) {
        var sent = 0
        while sent < request.count {
            let count = request.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure("the server closed the connection") }
            sent += count
        }
    }

    func receive() throws(Failure) -> (status: Int, body: ArraySlice<UInt8>) {
        held.removeAll(keepingCapacity: true)
        var body: Range<Int>?
        while true {
            if body == nil, let end = headEnd() {
                body = end..<end + (field("content-length").flatMap { Int($0) } ?? 0)
            }
            if let body, held.count >= body.upperBound { return (status(), held[body]) }
            held.append(contentsOf: try receiveSome())
        }
    }

    /// Waits for the first byte of an answer, and leaves it to `receive`.
    func waitForAnswer() throws(Failure) {
        guard recv(descriptor, &buffer, 1, Int32(MSG_PEEK)) == 1 else {
            throw Failure("no answer")
        }
    }

    /// What has come of a stream, one byte at least.
    func receiveSome() throws(Failure) -> ArraySlice<UInt8> {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { throw Failure("no answer") }
        return buffer[..<count]
    }

    /// A field of the last answer's head, by its name in lower case.
    func field(_ name: String) -> String? {
        guard let end = headEnd() else { return nil }
        let fields = String(decoding: held[..<end], as: UTF8.self).split(separator: "\r\n")
        return fields.first { $0.lowercased().hasPrefix(name + ":") }
            .map { String($0.dropFirst(name.utf8.count + 1).drop { $0 == " " }) }
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
}

/// The numbers that stand right after each `mark` in an answer.
func numbers(after mark: String, in bytes: ArraySlice<UInt8>) -> [Int] {
    bytes.ranges(of: Array(mark.utf8)).compactMap {
        let digits = bytes[$0.upperBound...].prefix { (0x30...0x39).contains($0) }
        return Int(String(decoding: digits, as: UTF8.self))
    }
}
