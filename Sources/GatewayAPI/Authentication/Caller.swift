import Access
import HTTPServer
import Platform

/// Who makes a request, kept with its exchange.
final class Caller {
    let grant: Grant
    /// Under which number the doorkeeper watches the request.
    var watch: UInt64?
    private var countedIn = 0
    private var countedOut = 0

    init(_ grant: Grant) { self.grant = grant }

    /// Counts the bytes since the last call against the quota; how long a stream should pause.
    @discardableResult
    func count(_ exchange: Exchange) -> Duration {
        guard let meter = grant.principal.meter else { return .zero }
        let bytesIn = exchange.receivedBodyBytes - countedIn
        let bytesOut = exchange.sentBytes - countedOut
        (countedIn, countedOut) = (exchange.receivedBodyBytes, exchange.sentBytes)
        return meter.use(bytesIn: bytesIn, bytesOut: bytesOut, now: exchange.now)
    }
}

extension Exchange {
    /// nil where everyone may do everything.
    var caller: Caller? { owner as? Caller }

    /// Whose request this is, for the access log; nil where it is anyone's.
    package var principalName: String? { caller?.grant.principal.name }

    /// What the caller may do to the topic of this name; empty: it may not know that it is there.
    func operations(onTopic name: String) -> Operations {
        caller?.grant.principal.rules.operations(on: .topic, name) ?? Resource.topic.operations
    }

    func operations(onGroup name: String) -> Operations {
        caller?.grant.principal.rules.operations(on: .group, name) ?? Resource.group.operations
    }

    /// Checks an operation on a topic that a body names.
    func require(_ operations: Operations, onTopic name: String) throws(Problem) {
        let allowed = self.operations(onTopic: name)
        if allowed.isSuperset(of: operations), !allowed.isEmpty { return }
        // What one may create one may be told that one may not; the rest is not there.
        if allowed.isEmpty, !operations.contains(.create) { throw .unknownTopic(name) }
        throw .forbidden(operations.subtracting(allowed), .topic, name)
    }

    func require(_ operations: Operations, onGroup name: String) throws(Problem) {
        let allowed = self.operations(onGroup: name)
        if allowed.isSuperset(of: operations), !allowed.isEmpty { return }
        let creates = !operations.isDisjoint(with: [.join, .commit])
        if allowed.isEmpty, !creates { throw .unknownGroup(name) }
        throw .forbidden(operations.subtracting(allowed), .group, name)
    }

    /// Waits while the caller's quota of bytes is overdrawn, or until the stream should end. True
    /// where it waited: what was armed before no longer is.
    func pace() async -> Bool {
        guard let caller else { return false }
        var wait = caller.count(self)
        if wait == .zero { return false }
        while wait > .zero, !clientIsGone, !serverIsDraining {
            let wakeup = Wakeup()
            arm(wakeup, until: now + wait)
            await wakeup.wait()
            wait = caller.count(self)
        }
        return true
    }
}

extension Problem {
    /// What is missing, in the words of the access file.
    static func forbidden(
        _ missing: Operations, _ resource: Resource, _ name: String
    ) -> Problem {
        let place = resource == .server ? "server" : "\(resource.rawValue):\(name)"
        return Problem(
            .forbidden,
            "The caller lacks \(missing.text) on \(place). A line of the access file has to allow "
                + "\(place)=\(missing.text), and none may deny it.",
            [
                ("resource", .string(resource.rawValue)), ("name", .string(name)),
                ("operations", .string(missing.text)),
            ])
    }
}
