import ArgumentParser
import Glibc

/// The program. Exit status: 0 after a drain, 1 for what the world did, 2 for usage.
@main
struct Millrace: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "millrace",
        abstract: "An HTTP/JSON gateway to a partitioned, durable event log.",
        subcommands: [Serve.self, Token.self, Bench.self, Log.self])

    static func main() {
        // What is opened first must not become the place where output goes; that still fails.
        for descriptor in Int32(0)...2 where fcntl(descriptor, F_GETFD) == -1 {
            _ = open("/dev/null", O_RDONLY)
        }
        do {
            let arguments = Environment.asArguments(Array(CommandLine.arguments.dropFirst()))
            var command = try parseAsRoot(arguments)
            try command.run()
        } catch let failure as Failure {
            failure.exit()
        } catch {
            let isHelp = exitCode(for: error) == .success
            if isHelp {
                printLine(fullMessage(for: error))
            } else {
                printError(fullMessage(for: error))
            }
            Glibc.exit(isHelp ? 0 : 2)
        }
    }
}

/// What the world did: a port taken, a directory locked, a file that is not there. Exit status 1.
struct Failure: Error {
    var message: String

    init(_ message: String) { self.message = message }

    func exit() -> Never {
        printError("millrace: \(message)")
        Glibc.exit(1)
    }
}

/// A line on standard output, at once also where that is a pipe. False where nobody can read it.
@discardableResult
func printLine(_ text: String) -> Bool { writeAll(Array((text + "\n").utf8), to: STDOUT_FILENO) }

func printError(_ text: String) { _ = writeAll(Array((text + "\n").utf8), to: STDERR_FILENO) }

/// Writes `most` bytes at a time; false where that fails, or a pipe stays full for `patience`
/// milliseconds because nobody reads it (-1: for ever). One with room takes 4,096 at once.
func writeAll(
    _ bytes: [UInt8], to descriptor: Int32, most: Int = .max, patience: Int32 = -1
) -> Bool {
    var start = 0
    while start < bytes.count {
        var room = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        if patience >= 0, poll(&room, 1, patience) == 0 { return false }
        let count = bytes.withUnsafeBytes {
            write(descriptor, $0.baseAddress! + start, min(most, $0.count - start))
        }
        if count < 0, errno != EINTR { return false }
        start += max(0, count)
    }
    return true
}

/// `MILLRACE_…` variables, as if they stood in front of the flags: a flag wins.
enum Environment {
    /// `serve --listen x` with MILLRACE_DATA=d becomes `serve --data d --listen x`.
    static func asArguments(_ arguments: [String]) -> [String] {
        guard let command = arguments.first, command == "serve" else { return arguments }
        var given: [String] = []
        for flag in Serve.flags + Serve.switches {
            let isOnCommandLine = arguments.contains { $0 == flag || $0.hasPrefix(flag + "=") }
            guard !isOnCommandLine, let value = value(of: variable(for: flag)) else { continue }
            // Of a switch any other value is refused, as one on the command line is.
            switch (Serve.switches.contains(flag), value.lowercased()) {
            case (true, "true"), (true, "1"): given.append(flag)
            case (true, "false"), (true, "0"): break
            default: given.append("\(flag)=\(value)")
            }
        }
        return [command] + given + arguments.dropFirst()
    }

    /// `--max-body-bytes` is `MILLRACE_MAX_BODY_BYTES`.
    static func variable(for flag: String) -> String {
        "MILLRACE_" + flag.dropFirst(2).uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
    }

    private static func value(of name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }
}
