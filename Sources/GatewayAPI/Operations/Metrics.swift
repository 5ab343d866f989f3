import Backends
import HTTPServer
import Platform
import Synchronization

/// Counts requests, and writes everything that is counted in Prometheus' text format 0.0.4.
final class Metrics: Sendable {
    /// Upper bounds of the duration histogram, in microseconds; the last bucket has none.
    private static let bounds: [Int64] = [
        100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 30_000_000,
    ]
    private static let classes = 5

    /// Of one route: answers by class of status, durations by bucket, and their sum in nanoseconds.
    private final class Counters: Sendable {
        let statuses: [Counter] = (0..<Metrics.classes).map { _ in Counter() }
        let buckets: [Counter] = (0...Metrics.bounds.count).map { _ in Counter() }
        let sum = Counter()
    }

    /// One number that several event loops add to.
    private final class Counter: Sendable {
        private let value = Atomic<UInt64>(0)
        func add(_ amount: UInt64) { value.add(amount, ordering: .relaxed) }
        var now: UInt64 { value.load(ordering: .relaxed) }
    }

    private let backend: any Backend
    private let doorkeeper: Doorkeeper?
    private let server = Mutex<Server?>(nil)
    /// By route; the last one is for requests that found none.
    private let counters: [Counters] = (0...Route.allCases.count).map { _ in Counters() }

    init(backend: any Backend, doorkeeper: Doorkeeper?) {
        self.backend = backend
        self.doorkeeper = doorkeeper
    }

    func observe(_ server: Server) { self.server.withLock { $0 = server } }

    // MARK: - Hot path

    /// Counts an answered request: three relaxed additions.
    func count(_ route: Route?, status: Int, since started: Instant, now: Instant) {
        let counters = counters[route.map { Int($0.rawValue) } ?? Route.allCases.count]
        let nanoseconds = max(0, now.nanoseconds &- started.nanoseconds)
        counters.statuses[min(max(status / 100, 1), Self.classes) - 1].add(1)
        counters.sum.add(UInt64(nanoseconds))
        let microseconds = nanoseconds / 1000
        var bucket = 0
        while bucket < Self.bounds.count, microseconds > Self.bounds[bucket] { bucket += 1 }
        counters.buckets[bucket].add(1)
    }

    // MARK: - Exposition

    func exposition() -> [UInt8] {
        var text = Exposition()
        writeRequests(&text)
        writeServer(&text)
        let log = backend.statistics()
        writeBackend(log, &text)
        writeCompaction(log, &text)
        return text.bytes
    }

    private func name(_ index: Int) -> String {
        index == Route.allCases.count ? "none" : "\(Route.allCases[index])"
    }

    private func writeRequests(_ text: inout Exposition) {
        text.family(
            "millrace_http_requests_total", "counter",
            "Requests answered, by route and class of status.")
        for (index, route) in counters.enumerated() {
            for (kind, counter) in route.statuses.enumerated() where counter.now > 0 {
                text.sample(
                    "millrace_http_requests_total",
                    "route=\"\(name(index))\",status=\"\(kind + 1)xx\"", counter.now)
            }
        }
        let histogram = "millrace_http_request_duration_seconds"
        text.family(histogram, "histogram", "From the request's head to the end of its answer.")
        for (index, route) in counters.enumerated() {
            let counts = route.buckets.map(\.now)
            guard counts.contains(where: { $0 > 0 }) else { continue }
            var total: UInt64 = 0
            for (bucket, count) in counts.enumerated() {
                total += count
                let bound =
                    bucket < Self.bounds.count ? seconds(Self.bounds[bucket] * 1000) : "+Inf"
                text.sample(
                    "\(histogram)_bucket", "route=\"\(name(index))\",le=\"\(bound)\"", total)
            }
            text.sample(
                "\(histogram)_sum", "route=\"\(name(index))\"",
                seconds(Int64(clamping: route.sum.now)))
            text.sample("\(histogram)_count", "route=\"\(name(index))\"", total)
        }
    }

    private func writeServer(_ text: inout Exposition) {
        guard let server = server.withLock({ $0?.currentStatistics() }) else { return }
        text.single(
            "millrace_http_connections", "gauge", "Connections open.", server.openConnections)
        text.single(
            "millrace_http_connections_accepted_total", "counter", "Connections accepted.",
            server.acceptedConnections)
        text.single(
            "millrace_http_connections_refused_total", "counter",
            "Connections refused at the limit.", server.refusedConnections)
        text.single(
            "millrace_http_received_bytes_total", "counter", "Bytes received.", server.receivedBytes
        )
        text.single("millrace_http_sent_bytes_total", "counter", "Bytes sent.", server.sentBytes)
        guard let doorkeeper else { return }
        text.single(
            "millrace_authentication_refusals_total", "counter", "Requests without a right token.",
            doorkeeper.refusalCount)
    }

    private func writeBackend(_ log: BackendStatistics, _ text: inout Exposition) {
        text.single(
            "millrace_topics", "gauge", "Topics, without internal ones.", UInt64(log.topicCount))
        text.single(
            "millrace_partitions", "gauge", "Partitions of those.", UInt64(log.partitionCount))
        text.single(
            "millrace_partitions_failed", "gauge", "Partitions that take no writes.",
            UInt64(log.failedPartitionCount))
        text.single(
            "millrace_log_appended_records_total", "counter", "Records appended.",
            log.appendedRecords)
        text.single(
            "millrace_log_appended_bytes_total", "counter", "Bytes appended.", log.appendedBytes)
        text.single("millrace_log_read_bytes_total", "counter", "Bytes read.", log.readBytes)
        text.single("millrace_log_syncs_total", "counter", "fdatasync calls.", log.syncCount)
        text.single(
            "millrace_log_scrubbed_bytes_total", "counter", "Bytes the scrubber has read.",
            log.scrubbedBytes)
        text.single(
            "millrace_log_scrub_passes_total", "counter", "Passes of the scrubber over all logs.",
            log.scrubPassCount)
        text.single(
            "millrace_log_scrub_damage_total", "counter", "Damage the scrubber has found.",
            log.scrubbedDamage)
        text.family("millrace_log_sync_seconds_total", "counter", "Time spent in fdatasync.")
        text.sample(
            "millrace_log_sync_seconds_total", nil, seconds(Int64(clamping: log.syncNanoseconds)))
    }

    private func writeCompaction(_ log: BackendStatistics, _ text: inout Exposition) {
        text.single(
            "millrace_compaction_passes_total", "counter", "Passes of compaction.",
            log.compactionPassCount)
        text.single(
            "millrace_compaction_read_bytes_total", "counter", "Bytes read by compaction.",
            log.compactionReadBytes)
        text.single(
            "millrace_compaction_removed_bytes_total", "counter",
            "Bytes removed by compaction.", log.compactionRemovedBytes)
    }

    /// Nanoseconds as decimal seconds, without floating point.
    private func seconds(_ nanoseconds: Int64) -> String {
        let fraction = String(nanoseconds % 1_000_000_000)
        let padded = String(repeating: "0", count: 9 - fraction.utf8.count) + fraction
        return "\(nanoseconds / 1_000_000_000).\(padded)"
    }
}

/// Lines of Prometheus' text format.
private struct Exposition {
    var bytes: [UInt8] = []

    mutating func family(_ name: String, _ type: String, _ help: String) {
        bytes.append(contentsOf: "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n".utf8)
    }

    mutating func sample(_ name: String, _ labels: String?, _ value: some CustomStringConvertible) {
        let labels = labels.map { "{\($0)}" } ?? ""
        bytes.append(contentsOf: "\(name)\(labels) \(value)\n".utf8)
    }

    mutating func single(_ name: String, _ type: String, _ help: String, _ value: UInt64) {
        family(name, type, help)
        sample(name, nil, value)
    }
}
