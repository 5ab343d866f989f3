import CPlatform
import Glibc
import Platform

/// The socket calls the server makes, each with its interruptions handled. Descriptors are plain
/// numbers here; each has one owner, a `Connection` or the `Listener`, which closes it once.
enum Socket {
    enum Received { case bytes(Int), wouldBlock, ended, failed }
    enum Sent { case bytes(Int), wouldBlock, failed }

    /// Reads into `buffer` without waiting.
    static func receive(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Received
    {
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if count > 0 { return .bytes(count) }
            if count == 0 { return .ended }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .wouldBlock
            default: return .failed
            }
        }
    }

    /// Writes what the kernel takes of `bytes` from `start` on, without waiting and without
    /// SIGPIPE. What is the last of a connection leaves with the end that follows it, in one
    /// packet.
    static func send(_ descriptor: Int32, _ bytes: [UInt8], from start: Int, isLast: Bool) -> Sent {
        let flags = Int32(MSG_NOSIGNAL) | (isLast ? Int32(MSG_MORE) : 0)
        return bytes.withUnsafeBytes { buffer in
            while true {
                let count = Glibc.send(
                    descriptor, buffer.baseAddress! + start, buffer.count - start, flags)
                if count >= 0 { return .bytes(count) }
                switch errno {
                case EINTR: continue
                case EAGAIN: return .wouldBlock
                default: return .failed
                }
            }
        }
    }

    /// Makes `close` send a reset instead of a regular end.
    static func resetOnClose(_ descriptor: Int32) {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    /// Its owner calls this once.
    static func close(_ descriptor: Int32) { Glibc.close(descriptor) }

    static func endSending(_ descriptor: Int32) { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Sets a listener to what every connection is to be: on Linux they inherit it from there.
    static func prepare(_ descriptor: Int32, _ limits: Limits) {
        // Whole answers leave at once anyway: waiting for more (Nagle) only delays them.
        set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        // What its client's window has no room for waits here, where it is counted: the kernel
        // would take megabytes of each, and has its own end for all.
        set(descriptor, Int32(IPPROTO_TCP), TCP_NOTSENT_LOWAT, Int32(clamping: limits.kernelBytes))
        detectVanishedPeer(descriptor, after: limits.silence)
    }

    /// Breaks the connection `silence` after its other end vanished without a word: bytes that are
    /// not acknowledged for so long do that (RFC 5482), and where nothing is under way the peer's
    /// system is asked whether it is there (RFC 9293 §3.8.4).
    private static func detectVanishedPeer(_ descriptor: Int32, after silence: Duration) {
        let milliseconds = Int32(clamping: max(1000, silence.wholeMilliseconds))
        let seconds = milliseconds / 1000
        set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
        set(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, milliseconds)
        set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, max(1, seconds / 2))
        set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, max(1, seconds / 6))
    }

    private static func set(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// The other end as `address:port`; empty where it is gone.
    static func peer(_ descriptor: Int32) -> String { name(descriptor, getpeername) }

    static func local(_ descriptor: Int32) -> String { name(descriptor, getsockname) }

    private static func name(
        _ descriptor: Int32,
        _ get: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> String {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                guard get(descriptor, address, &length) == 0 else { return "" }
                var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
                var port = [CChar](repeating: 0, count: Int(NI_MAXSERV))
                let status = getnameinfo(
                    address, length, &host, socklen_t(host.count), &port, socklen_t(port.count),
                    NI_NUMERICHOST | NI_NUMERICSERV)
                guard status == 0 else { return "" }
                let name = host.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
                let number = port.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
                return name.contains(":") ? "[\(name)]:\(number)" : "\(name):\(number)"
            }
        }
    }
}

/// A socket that listens.
struct Listener {
    let descriptor: Int32
    /// Where it really listens: with port 0 the kernel chose one.
    let address: String

    /// Binds the first address `host` has. SO_REUSEADDR: a new process binds right after the old
    /// died.
    init(host: String, port: UInt16) throws(ServerError) {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, "\(port)", &hints, &found)
        guard status == 0, let address = found else {
            throw ServerError("cannot resolve \(host): \(String(cString: gai_strerror(status)))")
        }
        defer { freeaddrinfo(found) }
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(address.pointee.ai_family, type, 0)
        guard descriptor >= 0 else { throw ServerError.last("cannot open a socket") }
        var on: Int32 = 1
        setsockopt(
            descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        guard bind(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0,
            listen(descriptor, 4096) == 0
        else {
            let error = ServerError.last("cannot listen on \(host):\(port)")
            Glibc.close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        self.address = Socket.local(descriptor)
    }

    enum Accepted { case connection(Int32, Address), none, exhausted }

    /// The next connection that waits; `.exhausted` where descriptors or memory ran out.
    func accept() -> Accepted {
        while true {
            var peer = [UInt8](repeating: 0, count: 16)
            let connection = millrace_accept(descriptor, &peer)
            if connection >= 0 { return .connection(connection, Address(v6: peer)) }
            switch errno {
            case EINTR, ECONNABORTED, EPROTO: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted
            default: return .none
            }
        }
    }
}

/// Why the server could not start.
package struct ServerError: Error, Sendable {
    package var message: String

    init(_ message: String) { self.message = message }

    static func last(_ what: String) -> ServerError {
        ServerError("\(what): \(String(cString: strerror(errno)))")
    }
}
