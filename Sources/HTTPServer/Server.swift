package import Platform
import Synchronization

/// A server of HTTP/1.1 and HTTP/2 on one listening socket: an event loop per core, a task per
/// connection and per stream.
package final class Server: Sendable {
    package struct Configuration: Sendable {
        package var host = "127.0.0.1"
        /// 0: the system picks a free one.
        package var port: UInt16 = 8080
        /// 0: one per core.
        package var loopCount = 0
        package var limits = Limits()
        package var observer: (any ExchangeObserver)?
        package var proxies = TrustedProxies()

        package init() {}
    }

    /// Counted since the start, but for `openConnections`.
    package struct Statistics: Sendable {
        package var openConnections: UInt64
        package var acceptedConnections: UInt64
        package var refusedConnections: UInt64
        package var requests: UInt64
        package var receivedBytes: UInt64
        package var sentBytes: UInt64
    }

    final class Counter: Sendable {
        private let value = Atomic<UInt64>(0)
        func add(_ amount: UInt64) { value.add(amount, ordering: .relaxed) }
        func subtract(_ amount: UInt64) { value.subtract(amount, ordering: .relaxed) }
        var now: UInt64 { value.load(ordering: .relaxed) }
    }

    struct Counters: Sendable {
        let open = Counter()
        let accepted = Counter()
        let refused = Counter()
        let requests = Counter()
        let receivedBytes = Counter()
        let sentBytes = Counter()
    }

    let configuration: Configuration
    let handler: any RequestHandler
    let statistics = Counters()
    let budget: ServerBudget
    private let loops: [EventLoop]
    private let draining = Atomic<Bool>(false)
    private let listener = Mutex<Listener?>(nil)
    private let nextLoop = Atomic<Int>(0)

    package init(_ configuration: Configuration, handler: any RequestHandler, time: any TimeSource)
    {
        self.configuration = configuration
        self.handler = handler
        budget = ServerBudget(configuration.limits)
        let count = configuration.loopCount > 0 ? configuration.loopCount : coreCount()
        loops = (0..<count).map { _ in EventLoop(time: time) }
    }

    /// Binds and begins to accept; returns the address it listens on, `host:port`.
    package func start() throws(ServerError) -> String {
        try FrameCodec.checkLibrary()
        let listener = try Listener(host: configuration.host, port: configuration.port)
        Socket.prepare(listener.descriptor, configuration.limits)
        self.listener.withLock { $0 = listener }
        for (index, loop) in loops.enumerated() { loop.start(index) }
        let first = loops[0]
        first.run { first.listen(listener.descriptor) { self.accept(listener) } }
        return listener.address
    }

    package var isDraining: Bool { draining.load(ordering: .relaxed) }

    /// Accepts no more, ends idle connections, and lets requests under way end theirs.
    package func drain() {
        draining.store(true, ordering: .relaxed)
        let first = loops[0]
        first.run { [self] in
            listener.withLock {
                guard let listener = $0 else { return }
                first.stopListening(listener.descriptor)
                Socket.close(listener.descriptor)
                $0 = nil
            }
        }
        for loop in loops { loop.run { loop.forEachConnection { $0.beginDrain() } } }
    }

    /// Ends every loop and connection at once.
    package func stop() {
        drain()
        for loop in loops { loop.run { loop.stop() } }
    }

    package func currentStatistics() -> Statistics {
        Statistics(
            openConnections: statistics.open.now, acceptedConnections: statistics.accepted.now,
            refusedConnections: statistics.refused.now, requests: statistics.requests.now,
            receivedBytes: statistics.receivedBytes.now, sentBytes: statistics.sentBytes.now)
    }

    // MARK: - Accepting

    /// On the first loop: connections go to the loops in turn, so that each has its share.
    /// Some in a turn: the poller tells again of those that still wait.
    private func accept(_ listener: Listener) {
        for _ in 0..<configuration.limits.acceptedTogether {
            switch listener.accept() {
            case .none: return
            case .exhausted: return pauseAccepting(listener)
            case .connection(let descriptor, let address):
                statistics.accepted.add(1)
                // A balancer's connections are those of its clients.
                let counted = configuration.proxies.trusts(address) ? nil : address.client
                guard statistics.open.now < UInt64(configuration.limits.connections),
                    counted.map(budget.admit) ?? true
                else {
                    statistics.refused.add(1)
                    Socket.close(descriptor)
                    continue
                }
                statistics.open.add(1)
                let turn = nextLoop.add(1, ordering: .relaxed).newValue
                let loop = loops[turn % loops.count]
                let connection = Connection(descriptor, address, loop, self)
                connection.countedAddress = counted
                if loop.isOnLoop {
                    adopt(connection)
                } else {
                    loop.run { self.adopt(connection) }
                }
            }
        }
    }

    /// Out of descriptors or memory: the queue waits in the kernel and is looked at a little later,
    /// instead of waking the loop without end.
    private func pauseAccepting(_ listener: Listener) {
        let loop = loops[0]
        loop.pauseListening(listener.descriptor)
        let timer = WheelTimer { [self] in
            if !isDraining { loop.resumeListening(listener.descriptor) }
        }
        loop.timers.arm(timer, at: loop.now + .milliseconds(100))
    }

    private func adopt(_ connection: Connection) {
        guard !isDraining, connection.loop.add(connection, connection.descriptor) else {
            Socket.close(connection.descriptor)
            return connectionClosed(connection.countedAddress)
        }
        Task(executorPreference: connection.loop) { await connection.run() }
    }

    func connectionClosed(_ countedAddress: Address?) {
        statistics.open.subtract(1)
        if let countedAddress { budget.leave(countedAddress) }
    }
}
