import Access
import Backends
import GatewayAPI
import HTTPServer
import Logging
import Platform
import Synchronization

/// The parts of a running gateway, wired together, from their start to the end of the drain.
final class Service: Sendable {
    /// Threads for syncs, cold reads and metadata. They wait in the kernel, so more than cores.
    private static let workerCount = 16
    /// Beside those of connections and sealed segments: for active segments, and what is opened for
    /// a moment.
    private static let sparedDescriptors = 64
    /// Below which an operator should know.
    private static let fewConnections = 1000

    private let options: Serve
    private let backend: EmbeddedBackend
    private let coordinator: GroupCoordinator
    private let server: Server
    private let accessLog: AccessLog?
    private let access: AccessControl?
    private let gateway: Gateway
    private let log = Logger(label: "millrace")
    private let termination = Wakeup()
    private let accessTick = Wakeup()
    private let reloadAsked = Atomic<Bool>(false)

    init(
        _ options: Serve, host: String, port: UInt16, descriptorLimit: Int
    ) throws(Failure) {
        self.options = options
        var storage = EmbeddedBackend.Options()
        storage.openSegments = min(
            storage.openSegments, descriptorLimit / Backends.Limits.openSegmentsShare)
        let time = SystemTime()
        storage.scrubBytesPerSecond = max(0, options.scrubBytesPerSecond)
        backend = EmbeddedBackend(
            options.data, disk: SystemDisk(), time: time,
            workers: WorkerPool(name: "worker", limit: Self.workerCount),
            log: Logger(label: "backend"), random: { .random(in: 0...UInt64.max) },
            options: storage)
        coordinator = GroupCoordinator(
            backend, time: time, random: { .random(in: 0...UInt64.max) })
        accessLog = try AccessLog(options.accessLog, time: time)
        var configuration = Server.Configuration()
        configuration.host = host
        configuration.port = port
        configuration.loopCount = options.loops
        // The log must not be short of descriptors because clients are many.
        let spared = storage.openSegments + Self.sparedDescriptors
        configuration.limits.connections = min(
            options.maxConnections, max(descriptorLimit / 4, descriptorLimit - spared))
        if configuration.limits.connections < min(options.maxConnections, Self.fewConnections) {
            log.warning(
                "fewer connections than --max-connections, for want of descriptors (ulimit -n)",
                metadata: [
                    "connections": "\(configuration.limits.connections)",
                    "descriptors": "\(descriptorLimit)",
                ])
        }
        configuration.limits.connectionsPerAddress = options.maxConnectionsPerAddress
        configuration.limits.bufferedBytes = options.maxBufferedBytes
        configuration.observer = accessLog
        configuration.proxies = options.access.proxies
        var api = GatewayConfiguration()
        api.maxBodyBytes = options.maxBodyBytes
        api.maxWait = .milliseconds(options.maxWaitMs)
        api.autoCreatePartitions = options.autoCreatePartitions
        api.allowedHosts = options.access.hosts(listeningOn: host)
        api.corsOrigins = options.access.corsOrigins
        access = options.access.accessFile.map {
            AccessControl(
                $0, defaultQuota: options.access.quota, time: time,
                chance: { .random(in: 0...UInt64.max) })
        }
        gateway = Gateway(
            backend: backend, coordinator: coordinator, configuration: api, access: access,
            time: time)
        server = Server(configuration, handler: gateway, time: time)
        gateway.observe(server)
    }

    /// Serves until a signal ends it. While the log recovers, the process answers and is not ready.
    func run() async throws(Failure) {
        if let access {
            do { try await access.load() } catch { throw Failure(error.reason) }
        }
        let address: String
        do { address = try server.start() } catch { throw Failure(error.message) }
        let started = SystemTime().now()
        do {
            try await backend.start(reportProgress(since: started))
        } catch {
            throw Failure(error.explanation)
        }
        await coordinator.load()
        let coordinator = coordinator
        let sessions = Ticker(name: "sessions", every: .milliseconds(100)) { coordinator.tick() }
        defer { sessions.stop() }
        Task { await backend.runMaintenance() }
        Task { await backend.runScrubber() }
        if let access { Task { await keepCurrent(access) } }
        log.info(
            "serving",
            metadata: [
                "address": "\(address)", "data": "\(options.data)",
                "durability": "acks=all answers after fdatasync; readers see what is synced",
                "startMs": "\((SystemTime().now() - started).wholeMilliseconds)",
                "partitions": "\(backend.progress.partitionCount)",
                "scannedMiB": "\(backend.progress.bytesScanned >> 20)",
            ])
        printLine("millrace: listening on http://\(address)")
        await termination.wait()
        await drain()
    }

    /// Begins the drain. Any thread.
    func terminate() { termination.wake() }

    /// Reads the access file again when it changes, and on SIGHUP; ends once a second what is no
    /// longer granted. A file that cannot be taken changes nothing, and the log says why.
    private func keepCurrent(_ access: AccessControl) async {
        let ticker = Ticker(name: "access", every: .seconds(1)) { [accessTick] in
            accessTick.wake()
        }
        var isKnownBad = false
        while true {
            await accessTick.wait()
            let isAsked = reloadAsked.exchange(false, ordering: .relaxed)
            if isAsked || access.isStale {
                do throws(AccessError) {
                    try await access.load()
                    isKnownBad = false
                    log.notice("the access file was read again")
                } catch {
                    if isAsked || !isKnownBad {
                        log.error(
                            "the access file is not taken; what was read before stays",
                            metadata: ["reason": "\(error.reason)"])
                    }
                    isKnownBad = true
                }
            }
            gateway.endWhatIsNoLongerGranted()
            if server.isDraining { break }
        }
        ticker.stop()
    }

    /// Reads the access file again, whether it looks changed or not. Any thread.
    func reload() {
        reloadAsked.store(true, ordering: .relaxed)
        accessTick.wake()
    }

    /// Says once a second how far recovery has come, if it takes longer than that.
    private func reportProgress(
        since started: Instant
    ) -> @Sendable (EmbeddedBackend.Progress) -> Void {
        let next = Mutex(started + .seconds(1))
        return { [log] progress in
            let now = SystemTime().now()
            let isDue = next.withLock {
                guard now >= $0 else { return false }
                $0 = now + .seconds(1)
                return true
            }
            guard isDue else { return }
            log.notice(
                "recovering",
                metadata: [
                    "partitions": "\(progress.partitionsOpened) of \(progress.partitionCount)",
                    "scannedMiB": "\(progress.bytesScanned >> 20)",
                ])
        }
    }

    /// Long-polls return, streams end with their cursor, requests under way get their answer.
    private func drain() async {
        log.notice("draining")
        server.drain()
        let deadline = SystemTime().now() + .milliseconds(options.drainTimeoutMs)
        let tick = Wakeup()
        let ticker = Ticker(name: "drain", every: .milliseconds(10)) { tick.wake() }
        while server.currentStatistics().openConnections > 0, SystemTime().now() < deadline {
            await tick.wait()
        }
        ticker.stop()
        server.stop()
        do {
            try await backend.close()
        } catch {
            log.error("closing the log failed", metadata: ["reason": "\(error)"])
        }
        accessLog?.writeOut(patience: 1000)
        log.notice("stopped")
    }
}
