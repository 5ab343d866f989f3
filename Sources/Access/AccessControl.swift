package import Platform
import Synchronization

/// Who may use the gateway: the access file as it is now, read again when it changes.
package final class AccessControl: Sendable {
    package enum Verdict {
        case granted(Grant)
        /// No token of ours, or no longer: which of them is told to nobody.
        case refused
        case expired
        /// A JSON Web Token that is right, of someone the access file does not name.
        case unknownPrincipal(String)
        /// It would have to be verified, and the caller was told not to.
        case unverified
    }

    private struct State {
        var table: AccessTable?
        var stamps: [PrivateFile.Stamp?] = []
    }

    private let path: String
    private let defaultQuota: Quota
    private let time: any TimeSource
    private let state = Mutex(State())
    package let tickets: Tickets
    package let failures: FailureLimiter

    package init(
        _ path: String, defaultQuota: Quota = Quota(), time: any TimeSource,
        chance: @escaping @Sendable () -> UInt64
    ) {
        self.path = path
        self.defaultQuota = defaultQuota
        self.time = time
        tickets = Tickets(chance: chance)
        failures = FailureLimiter()
    }

    // MARK: - The file

    /// Reads the file and puts it in place of what was. Throws with nothing changed.
    package func load() async throws(AccessError) {
        let old = state.withLock { $0.table }
        var stamps = [PrivateFile.stamp(path)]
        let file: AccessFile
        do throws(AccessError) {
            file = try AccessFile(try Self.readPrivately(path))
        } catch {
            throw AccessError("the access file \(path): \(error.reason)")
        }
        var judge: WebTokenJudge?
        if let settings = file.webTokens {
            let keyPath = beside(settings.keys)
            stamps.append(PrivateFile.stamp(keyPath))
            do throws(AccessError) {
                judge = try await self.judge(settings, keyPath, old?.judge)
            } catch {
                throw AccessError("the key set \(keyPath): \(error.reason)")
            }
        }
        let table = AccessTable(
            file, judge: judge, defaultQuota: defaultQuota, now: time.now(), replacing: old)
        state.withLock {
            $0.table = table
            $0.stamps = stamps
        }
        old?.revoke(whatIsNotIn: table)
        tickets.dropInvalid(wall: time.wallMilliseconds(), now: time.now())
    }

    /// Whether a file was replaced or written to since it was read.
    package var isStale: Bool {
        let (stamps, keys) = state.withLock { ($0.stamps, $0.table?.judge?.settings.keys) }
        let paths = [path] + (keys.map { [beside($0)] } ?? [])
        return paths.map(PrivateFile.stamp) != stamps
    }

    private func judge(
        _ settings: AccessFile.WebTokens, _ path: String, _ old: WebTokenJudge?
    ) async throws(AccessError) -> WebTokenJudge {
        let bytes = try Self.read(path)
        if let old, old.settings == settings, old.keyBytes == bytes { return old }
        let keys = try await KeySet(bytes)
        if keys.keys.contains(where: { $0.algorithm == .HS256 }) { try Self.checkMode(path) }
        return WebTokenJudge(settings, keys: keys, keyBytes: bytes, quota: defaultQuota)
    }

    private func beside(_ name: String) -> String {
        guard !name.hasPrefix("/"), let slash = path.lastIndex(of: "/") else { return name }
        return path[...slash] + name
    }

    /// What is secret must be so on the disk as well.
    package static func readPrivately(_ path: String) throws(AccessError) -> [UInt8] {
        try checkMode(path)
        return try read(path)
    }

    private static func checkMode(_ path: String) throws(AccessError) {
        do throws(DiskError) {
            if try !PrivateFile.isOpenToOthers(path) { return }
        } catch {
            throw AccessError("\(error)")
        }
        throw AccessError("others than its owner may read or write it; say chmod 600 \(path)")
    }

    private static func read(_ path: String) throws(AccessError) -> [UInt8] {
        do throws(DiskError) {
            return try PrivateFile.read(path, limit: Limits.fileBytes)
        } catch {
            throw AccessError("\(error)")
        }
    }

    // MARK: - Hot path

    /// Whether any address failed lately, which is the exception.
    package var hasFailures: Bool { failures.isCounting }

    /// Whose `text` is, what stands behind `Bearer `. With `mayVerify` false no signature is
    /// computed: for addresses that have failed too often.
    package func authenticate(_ text: ArraySlice<UInt8>, mayVerify: Bool) -> Verdict {
        guard let table = state.withLock({ $0.table }) else { return .refused }
        let now = time.wallMilliseconds()
        if let identifier = Token.identifier(in: text) {
            guard let grant = table.grant(text, named: identifier) else { return .refused }
            return grant.isValid(at: now) ? .granted(grant) : .expired
        }
        guard let judge = table.judge, text.count <= Limits.webTokenBytes,
            WebToken.isMeant(by: text)
        else { return .refused }
        let hash = Hash(of: Array(text))
        if let grant = judge.remembered(hash) {
            return grant.isValid(at: now) ? .granted(grant) : .expired
        }
        guard mayVerify else { return .unverified }
        switch judge.verify(text, hash, now: now, time.now(), principal: table.principal) {
        case .granted(let grant):
            // What a new file takes back it took back before this was remembered.
            guard state.withLock({ $0.table === table }) else {
                judge.forget(hash, grant)
                return authenticate(text, mayVerify: mayVerify)
            }
            return .granted(grant)
        case .refused: return .refused
        case .expired: return .expired
        case .unknownPrincipal(let name): return .unknownPrincipal(name)
        }
    }
}
