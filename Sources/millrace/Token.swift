import Access
import ArgumentParser
import Glibc
import Platform

/// `millrace token`: makes, lists and revokes access tokens. A running server sees the change
/// within a second.
struct Token: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make, list and revoke access tokens.",
        discussion: """
            The access file has a JSON object a line: principals, whom you may write yourself, and \
            tokens, of which it keeps the SHA-256 only. A rule is written like \
            topic:orders.*=read,write or group:billing=join,commit or server=metrics. What no rule \
            allows is forbidden, and what one denies stays so.
            """,
        subcommands: [Create.self, List.self, Revoke.self])

    struct File: ParsableArguments {
        @Option(help: "The access file; default: the variable MILLRACE_ACCESS_FILE.")
        var accessFile: String?

        func path() throws(Failure) -> String {
            if let accessFile { return accessFile }
            guard let variable = getenv("MILLRACE_ACCESS_FILE"), variable.pointee != 0 else {
                throw Failure("say which access file: --access-file FILE")
            }
            return String(cString: variable)
        }

        func read() throws(Failure) -> AccessFile {
            let path = try path()
            do throws(AccessError) {
                return try AccessFile(AccessControl.readPrivately(path))
            } catch {
                throw Failure("the access file \(path): \(error.reason)")
            }
        }

        /// One change at a time, from reading to the file's replacement (pitfall 50). `mayCreate`:
        /// a file that is not there is an empty one.
        func edit<Result>(
            mayCreate: Bool, _ change: (inout AccessFile) throws -> Result
        ) throws -> Result {
            let path = Self.resolved(try path())
            let lock = try lock(path)
            defer { withExtendedLifetime(lock) {} }
            let isNew = mayCreate && !SystemDisk().exists(path)
            var file: AccessFile
            do { file = isNew ? try AccessFile([]) : try read() }
            let result = try change(&file)
            do throws(DiskError) {
                try PrivateFile.replace(path, with: file.bytes)
            } catch {
                throw Failure("\(error)")
            }
            return result
        }

        /// Behind links: the file is replaced, and not the link.
        private static func resolved(_ path: String) -> String {
            guard let real = realpath(path, nil) else { return path }
            defer { free(real) }
            return String(cString: real)
        }

        private func lock(_ path: String) throws(Failure) -> FileLock {
            for _ in 0..<1000 {
                do throws(DiskError) {
                    return try FileLock(path + ".lock")
                } catch {
                    guard error.isLocked else { throw Failure("\(error)") }
                    pauseThread(for: .milliseconds(20))
                }
            }
            throw Failure("another program holds \(path).lock")
        }
    }

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a token and show it, once.")

        @Argument(help: "The principal whose token it is.")
        var principal: String

        @OptionGroup var file: File

        @Option(help: "Of a new principal: what it may do. Can be given several times.")
        var allow: [String] = []

        @Option(help: "Of a new principal: what it may not do, whatever else allows it.")
        var deny: [String] = []

        @Option(help: "When it ends: a number with s, m, h or d behind it, such as 90d.")
        var expiresIn: String?

        @Option(help: "A remark that `list` shows.")
        var note: String?

        func validate() throws {
            if let expiresIn, Self.milliseconds(expiresIn) == nil {
                throw ValidationError("--expires-in must be like 3600s, 90m, 12h or 30d.")
            }
        }

        func run() throws {
            let rules: Rules
            do throws(AccessError) {
                rules = Rules(allow: try allow.asRules(), deny: try deny.asRules())
            } catch {
                throw Failure(error.reason)
            }
            let now = SystemTime().wallMilliseconds()
            let token = Access.Token(
                identifier: .random(in: 0...UInt64.max),
                chance: (0..<32).map { _ in .random(in: 0...UInt8.max) })
            try file.edit(mayCreate: true) { file in
                do throws(AccessError) {
                    try add(token, to: &file, rules, now)
                } catch {
                    throw Failure(error.reason)
                }
                guard printLine(token.text) else {
                    throw Failure("the token cannot be shown, and was not made")
                }
            }
            printError(
                "millrace: token \(Access.Token.name(token.identifier)) of \(principal). It is "
                    + "shown this once; the file keeps only its SHA-256.")
        }

        private func add(
            _ token: Access.Token, to file: inout AccessFile, _ rules: Rules, _ now: Int64
        ) throws(AccessError) {
            let isKnown = file.principals.contains { $0.name == principal }
            guard !isKnown || rules == Rules() else {
                throw AccessError(
                    "\(principal) has a line already: change its rules there, and leave --allow "
                        + "and --deny out")
            }
            if !isKnown {
                guard !rules.allow.isEmpty else {
                    throw AccessError(
                        "there is no principal \(principal) yet: say what it may do, such as "
                            + "--allow 'topic:orders.*=read,write'")
                }
                try file.add(AccessFile.PrincipalLine(name: principal, rules: rules))
            }
            try file.add(
                AccessFile.TokenLine(
                    identifier: token.identifier, principal: principal, hash: token.hash,
                    createdAt: now,
                    expiresAt: expiresIn.flatMap(Self.milliseconds).map { now + $0 }, note: note))
        }

        private static func milliseconds(_ text: String) -> Int64? {
            let units: [Character: Int64] = [
                "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000,
            ]
            guard let last = text.last, let unit = units[last],
                let count = Int64(text.dropLast()),
                (1...36_500).contains(count)
                    || last != "d" && (1...1_000_000_000).contains(count)
            else { return nil }
            return count * unit
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the tokens: their names, owners and ends, and no secrets.")

        @OptionGroup var file: File

        func run() throws {
            let now = SystemTime().wallMilliseconds()
            let tokens = try file.read().tokens.sorted { $0.createdAt < $1.createdAt }
            printLine("TOKEN             CREATED               EXPIRES               PRINCIPAL")
            for token in tokens {
                let end =
                    token.expiresAt.map { $0 <= now ? "expired" : Self.date($0) } ?? "never"
                let note = token.note.map { "  # \($0)" } ?? ""
                let name = Access.Token.name(token.identifier)
                printLine(
                    "\(name)  \(Self.date(token.createdAt).padded)  \(end.padded)  "
                        + "\(token.principal)\(note)")
            }
        }

        private static func date(_ milliseconds: Int64) -> String {
            var seconds = time_t(milliseconds / 1000)
            var parts = tm()
            gmtime_r(&seconds, &parts)
            var text = [CChar](repeating: 0, count: 32)
            strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
            return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Revoke a token: its requests are refused and its streams cut.")

        @Argument(help: "The token's 16 hex digits, as `list` shows them, or the token itself.")
        var token: String

        @OptionGroup var file: File

        func run() throws {
            let text = Array(token.utf8)
            let name = Access.Token.identifier(in: text[...])
            guard let name = name ?? Access.Token.identifier(named: text[...]) else {
                throw Failure("a token is named by 16 hex digits; `millrace token list` shows them")
            }
            try file.edit(mayCreate: false) { file in
                guard file.removeToken(name) else {
                    throw Failure("there is no token \(Access.Token.name(name))")
                }
            }
            printLine("revoked \(Access.Token.name(name))")
        }
    }
}

extension String {
    /// To the width of a date.
    fileprivate var padded: String { self + String(repeating: " ", count: max(0, 20 - count)) }
}

extension [String] {
    fileprivate func asRules() throws(AccessError) -> [Rule] {
        var rules: [Rule] = []
        for text in self { rules.append(try Rule(text)) }
        return rules
    }
}
