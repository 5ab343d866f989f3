import Glibc

/// A client that sends exactly the bytes a test wants, in the pieces it wants, over a blocking
/// socket.
// @unchecked: a socket may be used by several threads; `isClosedByPeer` is read by the one that
// receives.
package final class RawClient: @unchecked Sendable {
    private let descriptor: Int32
    package private(set) var isClosedByPeer = false
    /// The peer closed by a reset, so that what came cannot pass for all there was.
    package private(set) var isReset = false

    /// Connects to 127.0.0.1. A small `receiveBuffer` (bytes) makes a slow reader felt early.
    package init(port: UInt16, receiveTimeoutSeconds: Int = 10, receiveBuffer: Int32? = nil) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        if var receiveBuffer { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        var timeout = timeval(tv_sec: receiveTimeoutSeconds, tv_usec: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        precondition(status == 0, "connect: \(errno)")
    }

    deinit { close(descriptor) }

    /// Sends all of `bytes`, in pieces of `piece` bytes; stops quietly where the peer has closed.
    /// Whether all of them went out.
    @discardableResult
    package func send(_ bytes: [UInt8], piece: Int = .max) -> Bool {
        var start = 0
        while start < bytes.count {
            let count = min(piece, bytes.count - start)
            let sent = bytes[start..<(start + count)].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, count, Int32(MSG_NOSIGNAL))
            }
            guard sent > 0 else { return false }
            start += sent
        }
        return true
    }

    package func send(_ text: String) { send(Array(text.utf8)) }

    /// Ends with a reset when the client goes.
    package func resetOnClose() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    /// TCP segments that came so far (`tcpi_segs_in` of tcp_info, Linux 4.2).
    package var segmentsReceived: UInt32 { connectionInfo[140 / 4] }

    /// Neither side has ended or reset the connection, as far as is known here without reading
    /// (`tcpi_state`).
    package var isEstablished: Bool { connectionInfo[0] & 0xFF == 1 }

    private var connectionInfo: [UInt32] {
        var info = [UInt32](repeating: 0, count: 64)
        var length = socklen_t(info.count * 4)
        getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &info, &length)
        return info
    }

    package func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Up to 64 KiB of what came; empty when the peer closed, or nothing came in time.
    package func receive() -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        isReset = count < 0 && errno == ECONNRESET
        if count == 0 || isReset { isClosedByPeer = true }
        return count > 0 ? Array(buffer[..<count]) : []
    }

    /// All that comes until the peer closes.
    package func receiveAll() -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let bytes = receive()
            if bytes.isEmpty { return all }
            all += bytes
        }
    }

    /// What comes until `text` is in it.
    package func receive(until text: String) -> String {
        var all = ""
        while !all.contains(text) {
            let bytes = receive()
            if bytes.isEmpty { break }
            all += String(decoding: bytes, as: UTF8.self)
        }
        return all
    }
}

/// The answers in a byte stream, read by their own framing; -1 for what is no answer.
package func statuses(of bytes: [UInt8]) -> [Int] {
    var rest = bytes[...]
    var statuses: [Int] = []
    while !rest.isEmpty {
        guard rest.starts(with: "HTTP/1.".utf8), let end = index(of: "\r\n\r\n", in: rest) else {
            return statuses + [-1]
        }
        let lines = String(decoding: rest[..<end], as: UTF8.self).split(separator: "\r\n")
        rest = rest[(end + 4)...]
        let status = lines[0].split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? -1
        let fields = lines.dropFirst().map { $0.lowercased() }
        if (100..<200).contains(status) { continue }
        statuses.append(status)
        if let length = fields.first(where: { $0.hasPrefix("content-length:") }) {
            rest = rest.dropFirst(Int(length.split(separator: " ").last!) ?? 0)
        } else if fields.contains("transfer-encoding: chunked") {
            guard let last = index(of: "0\r\n\r\n", in: rest) else { return statuses + [-1] }
            rest = rest[(last + 5)...]
        }
    }
    return statuses
}

private func index(of text: String, in bytes: ArraySlice<UInt8>) -> Int? {
    let wanted = Array(text.utf8)
    guard bytes.count >= wanted.count else { return nil }
    return (bytes.startIndex...(bytes.endIndex - wanted.count)).first {
        bytes[$0..<($0 + wanted.count)].elementsEqual(wanted)
    }
}
