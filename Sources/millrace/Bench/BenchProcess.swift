import Glibc

/// A server under measurement: a child process, ended by its own id.
final class BenchProcess: Sendable {
    let id: pid_t
    /// The read end of its standard output.
    private let output: Int32

    /// Starts `arguments[0]` with its standard output on a pipe and its errors thrown away.
    init(_ arguments: [String]) throws(Failure) {
        var pipe: [Int32] = [0, 0]
        guard Glibc.pipe(&pipe) == 0 else { throw Failure("no pipe: errno \(errno)") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addclose(&actions, pipe[0])
        posix_spawn_file_actions_addclose(&actions, pipe[1])
        defer { posix_spawn_file_actions_destroy(&actions) }
        var process: pid_t = 0
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        let status = posix_spawnp(&process, arguments[0], &actions, nil, words, environ)
        close(pipe[1])
        guard status == 0 else {
            close(pipe[0])
            throw Failure("cannot start \(arguments[0]): \(String(cString: strerror(status)))")
        }
        id = process
        output = pipe[0]
    }

    /// The first line it prints; empty where it ends before.
    func readLine() -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while read(output, &byte, 1) == 1, byte != UInt8(ascii: "\n") { line.append(byte) }
        return String(decoding: line, as: UTF8.self)
    }

    /// All it prints until it ends.
    func readAll() -> String {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(output, &buffer, buffer.count)
            if count <= 0 { break }
            text.append(contentsOf: buffer[..<count])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// SIGTERM, and waits for its end.
    func stop() {
        kill(id, SIGTERM)
        wait()
    }

    func wait() {
        var status: Int32 = 0
        waitpid(id, &status, 0)
        close(output)
    }

    /// Processor time used so far by the process and its children, in microseconds.
    func processorTime() -> Double {
        family.map(Self.processorTime).reduce(0, +)
    }

    /// KiB in memory of the process and its children, pages they share divided among them.
    func memory() -> Double {
        family.map { process in
            let text = (try? Files.read("/proc/\(process)/smaps_rollup")) ?? ""
            let line = text.split(separator: "\n").first { $0.hasPrefix("Pss:") }
            return line?.split(separator: " ").dropFirst().first.flatMap { Double($0) } ?? 0
        }.reduce(0, +)
    }

    private var family: [pid_t] { [id] + Self.children(of: id) }

    private static func processorTime(of process: pid_t) -> Double {
        guard let text = try? Files.read("/proc/\(process)/stat"),
            let end = text.lastIndex(of: ")")
        else { return 0 }
        let fields = text[end...].split(separator: " ")
        guard fields.count > 13, let user = Double(fields[12]), let system = Double(fields[13])
        else {
            return 0
        }
        return (user + system) * 1_000_000 / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    private static func children(of process: pid_t) -> [pid_t] {
        let text = (try? Files.read("/proc/\(process)/task/\(process)/children")) ?? ""
        return text.split(separator: " ").compactMap { pid_t($0) }
    }
}

/// Small files of the bench, whole.
enum Files {
    static func read(_ path: String) throws(Failure) -> String {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { throw Failure("cannot read \(path)") }
        defer { close(descriptor) }
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count <= 0 { break }
            text.append(contentsOf: buffer[..<count])
        }
        return String(decoding: text, as: UTF8.self)
    }

    static func write(_ text: String, to path: String) throws(Failure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        guard descriptor >= 0 else { throw Failure("cannot write \(path)") }
        defer { close(descriptor) }
        guard Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count else {
            throw Failure("cannot write \(path)")
        }
    }

    static func temporaryDirectory() throws(Failure) -> String {
        var template = Array("/tmp/millrace-bench-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure("no temporary directory") }
        return template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    /// With all that is in it; what cannot be removed stays.
    static func removeDirectory(_ path: String) {
        (try? BenchProcess(["rm", "-rf", path]))?.wait()
    }

    static func thisProgram() throws(Failure) -> String {
        var path = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &path, path.count - 1)
        guard length > 0 else { throw Failure("cannot read /proc/self/exe") }
        return String(decoding: path[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Where a program is on PATH.
    static func program(_ name: String) -> String? {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/usr/sbin"
        return (path.split(separator: ":").map { "\($0)/\(name)" } + ["/usr/sbin/\(name)"])
            .first { access($0, X_OK) == 0 }
    }
}
