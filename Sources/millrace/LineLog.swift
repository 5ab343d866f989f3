import Glibc
import JSON
import Logging
import Platform

/// Log lines as JSON objects on standard error, one line each. Text from outside is a JSON string:
/// control bytes are escaped, so no message can forge a line, and cut at a length.
struct LineLog: LogHandler {
    var logLevel = Logger.Level.info
    var metadata = Logger.Metadata()
    let label: String

    private static let textLimit = 2048

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("time")
        writer.integer(SystemTime().wallMilliseconds())
        writer.name("level")
        writer.string("\(event.level)")
        writer.name("room")
        writer.string(label)
        writer.name("message")
        writer.string(Self.cut("\(event.message)"))
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        for (key, value) in all.sorted(by: { $0.key < $1.key }) {
            writer.name(utf8: Array(key.utf8)[...])
            writer.string(Self.cut("\(value)"))
        }
        writer.endObject()
        Self.write(writer.bytes + [UInt8(ascii: "\n")])
    }

    private static func cut(_ text: String) -> String {
        text.utf8.count <= textLimit ? text : String(text.prefix(textLimit / 4)) + "…"
    }

    /// One write a line, so that lines of several threads do not mix. An event loop may be who
    /// waits, so that a line which nobody takes is lost.
    static func write(_ line: [UInt8]) {
        _ = writeAll(line, to: STDERR_FILENO, patience: 100)
    }
}
