import GatewayAPI
import Glibc
import HTTPServer
import JSON
import Platform
import Synchronization

/// The access log: a JSON object a line for every answered request, or for those alone that change
/// topics or groups, written in batches by a thread of its own so that no event loop waits for a
/// disk or a pipe.
///
/// Text from a client is a JSON string, escaped and cut: no request can forge a line.
final class AccessLog: ExchangeObserver {
    private static let textLimit = 1024
    /// Lines beyond this many bytes that nobody takes are dropped and counted in the next line.
    private static let bufferLimit = 4 << 20

    private struct Pending {
        var bytes: [UInt8] = []
        var dropped = 0
    }

    private let descriptor: Int32
    private let namesAll: Bool
    private let time: any TimeSource
    private let pending = Mutex(Pending())

    /// `place` is `stderr`, a file that is appended to, or `changes`, which go to standard error;
    /// nil for `off`.
    init?(_ place: String, time: any TimeSource) throws(Failure) {
        self.time = time
        namesAll = place != "changes"
        switch place {
        case "off": return nil
        case "changes", "stderr": descriptor = STDERR_FILENO
        default:
            descriptor = open(place, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
            guard descriptor >= 0 else {
                throw Failure(
                    "cannot open the access log \(place): \(String(cString: strerror(errno)))")
            }
        }
        startThread("access-log") { [self] in
            while true {
                usleep(100_000)
                writeOut()
            }
        }
    }

    func exchangeEnded(_ exchange: Exchange) {
        guard namesAll || exchange.isAudited else { return }
        let head = exchange.head
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("time")
        writer.integer(time.wallMilliseconds())
        writer.name("peer")
        writer.string(exchange.peer)
        if let client = exchange.proxiedClient {
            writer.name("client")
            writer.string(client)
        }
        if let principal = exchange.principalName {
            writer.name("principal")
            writer.string(principal)
        }
        // A head that could not be read says neither.
        if !head.path.isEmpty {
            writer.name("method")
            writer.string(head.method.rawValue)
            writer.name("path")
            writer.string(utf8: head.bytes[head.path].prefix(Self.textLimit))
        }
        // Of others it may hold a key or a ticket.
        if exchange.isAudited, let query = head.query {
            writer.name("query")
            writer.string(utf8: head.bytes[query].prefix(Self.textLimit))
        }
        writer.name("status")
        writer.integer(Int64(exchange.responseStatus))
        writer.name("bytesIn")
        writer.integer(Int64(exchange.receivedBodyBytes))
        writer.name("bytesOut")
        writer.integer(Int64(exchange.sentBytes))
        writer.name("durationMicros")
        writer.integer((time.now().nanoseconds - exchange.started.nanoseconds) / 1000)
        if let trace = TraceContext.traceparent(head) {
            writer.name("traceparent")
            writer.string(utf8: head.bytes[trace])
        }
        if let agent = head.value(of: .userAgent) {
            let text = String(decoding: head.bytes[agent].prefix(Self.textLimit), as: UTF8.self)
            writer.name("userAgent")
            writer.string(text)
        }
        append(&writer)
    }

    private func append(_ writer: inout JSONWriter) {
        pending.withLock {
            guard $0.bytes.count < Self.bufferLimit else {
                $0.dropped += 1
                return
            }
            if $0.dropped > 0 {
                writer.name("droppedBefore")
                writer.integer(Int64($0.dropped))
                $0.dropped = 0
            }
            writer.endObject()
            writer.endLine()
            $0.bytes.append(contentsOf: writer.bytes)
        }
    }

    /// Writes what has gathered; also called once more at the end, with little patience.
    func writeOut(patience: Int32 = -1) {
        let bytes = pending.withLock {
            let taken = $0.bytes
            $0.bytes = []
            return taken
        }
        _ = writeAll(bytes, to: descriptor, most: 4096, patience: patience)
    }
}
