package import Access
package import Backends
package import HTTPServer
import JSON
package import Platform

/// The API: takes a request from the HTTP server, finds its route, and answers it from the backend.
package final class Gateway: RequestHandler {
    private let backend: any Backend
    private let configuration: GatewayConfiguration
    let time: any TimeSource
    private let browsers: BrowserPolicy
    /// nil: everyone may do everything.
    let doorkeeper: Doorkeeper?
    private let tree = RouteTree()
    private let produceRoute: ProduceRoute
    private let topicRoutes: TopicRoutes
    private let groupRoutes: GroupRoutes
    private let memberRoutes: MemberRoutes
    private let metrics: Metrics

    package init(
        backend: any Backend, coordinator: GroupCoordinator, configuration: GatewayConfiguration,
        access: AccessControl? = nil, time: any TimeSource
    ) {
        self.backend = backend
        self.configuration = configuration
        self.time = time
        browsers = BrowserPolicy(configuration)
        doorkeeper = access.map { Doorkeeper($0, time) }
        produceRoute = ProduceRoute(backend: backend, configuration: configuration, time: time)
        topicRoutes = TopicRoutes(backend: backend, coordinator: coordinator)
        groupRoutes = GroupRoutes(backend: backend, coordinator: coordinator, time: time)
        memberRoutes = MemberRoutes(
            backend: backend, coordinator: coordinator, maxWait: configuration.maxWait)
        metrics = Metrics(backend: backend, doorkeeper: doorkeeper)
    }

    /// Has `/metrics` show the counters of the server that this handles requests for.
    package func observe(_ server: Server) { metrics.observe(server) }

    /// Ends requests under way whose credential was revoked or has expired. Call once a second.
    package func endWhatIsNoLongerGranted() { doorkeeper?.endWhatIsNoLongerGranted() }

    // MARK: - Hot path

    // What is not inlined here does not leave its temporaries in the frames of those who wait:
    // 2 KiB for each client in a long-poll.
    package func handle(_ exchange: Exchange) async {
        let started = time.now()
        var route: Route?
        do throws(Problem) {
            if try !browsers.answers(exchange) {
                let match = try find(exchange)
                route = match.route
                exchange.isAudited = match.route.isAudited
                try await answer(exchange, match, enter(exchange, match))
            }
        } catch {
            exchange.respond(error.response())
        }
        doorkeeper?.settle(exchange)
        metrics.count(route, status: exchange.responseStatus, since: started, now: time.now())
    }

    @inline(never)
    private func enter(_ exchange: Exchange, _ match: Found) throws(Problem) -> Query {
        let query = try Query(exchange.head, names: match.route.parameters)
        if let doorkeeper { try admit(exchange, match, query, doorkeeper) }
        return query
    }

    struct Found {
        var route: Route
        var first: Range<Int>
        var second: Range<Int>
    }

    @inline(never)
    private func find(_ exchange: Exchange) throws(Problem) -> Found {
        let head = exchange.head
        guard let match = tree.match(head.bytes, path: head.path) else {
            throw Problem(
                .unknownRoute,
                "There is nothing at this path. /openapi.yaml lists all that there is.")
        }
        guard let route = match.route(for: head.method) else {
            throw Problem.methodNotAllowed(match.routes)
        }
        return Found(route: route, first: match.first, second: match.second)
    }

    private func answer(
        _ exchange: Exchange, _ found: Found, _ query: Query
    ) async throws(Problem) {
        switch found.route {
        case .produce:
            try await produceRoute.produce(exchange, topic: name(exchange, found.first), query)
        case .readTopic:
            try await read(exchange, found, partition: nil, query)
        case .readPartition:
            try await read(exchange, found, partition: partition(exchange, found.second), query)
        case .listTopics, .createTopic, .describeTopic, .alterTopic, .deleteTopic, .deleteRecords:
            try await answerTopic(exchange, found, query)
        case .listGroups, .describeGroup, .deleteGroup, .commitOffsets, .listOffsets, .resetOffsets:
            try await answerGroup(exchange, found, query)
        case .joinGroup, .leaveGroup, .pollMember, .heartbeatMember, .streamMember:
            try await answerMember(exchange, found, query)
        case .createTicket:
            try await createTicket(exchange)
        case .live, .ready, .metrics, .openAPI:
            answerOperations(exchange, found.route)
        }
    }

    // MARK: - The rest

    @inline(never)
    private func read(
        _ exchange: Exchange, _ found: Found, partition: Int?, _ query: Query
    ) async throws(Problem) {
        let request = try readRequest(exchange, found, partition: partition, query)
        let positions = try await request.start.positions(in: request.topic, partition: partition)
        switch request.form {
        case .page: try await ConsumePage(request: request, exchange: exchange).answer(positions)
        case .lines, .events:
            try await ConsumeStream(
                exchange: exchange, form: request.form, maxRecords: request.maxRecords,
                growing: partition == nil ? request.topic : nil, seat: nil
            ).answer(from: positions, tag: request.topic.cursorTag)
        }
    }

    @inline(never)
    private func readRequest(
        _ exchange: Exchange, _ found: Found, partition: Int?, _ query: Query
    ) throws(Problem) -> ReadRequest {
        if exchange.serverIsShortOfMemory { throw .outOfMemory }
        let topic: any Topic
        let topicName = try name(exchange, found.first)
        do { topic = try backend.topic(topicName) } catch { throw Problem(error) }
        if let partition, partition >= topic.partitionCount {
            throw Problem(
                BackendError.unknownPartition(partition, partitionCount: topic.partitionCount))
        }
        return try ReadRequest(
            exchange.head, query, topic: topic, partition: partition, maxWait: configuration.maxWait
        )
    }

    private func answerTopic(
        _ exchange: Exchange, _ found: Found, _ query: Query
    ) async throws(Problem) {
        if found.route == .listTopics { return try await topicRoutes.list(exchange) }
        let topic = try name(exchange, found.first)
        switch found.route {
        case .createTopic: try await topicRoutes.create(exchange, topic)
        case .describeTopic: try await topicRoutes.describe(exchange, topic)
        case .alterTopic: try await topicRoutes.alter(exchange, topic)
        case .deleteTopic: try await topicRoutes.delete(exchange, topic)
        default:
            guard let before = try query.integer("before") else {
                throw Problem(
                    .invalidParameter, "Say up to which offset: `?before={offset}`.",
                    [("parameter", .string("before"))])
            }
            try await topicRoutes.deleteRecords(
                exchange, topic, try partition(exchange, found.second), before: Offset(before))
        }
    }

    private func answerGroup(
        _ exchange: Exchange, _ found: Found, _ query: Query
    ) async throws(Problem) {
        if found.route == .listGroups { return try await groupRoutes.list(exchange) }
        let group = try name(exchange, found.first)
        try checkName(group, of: "group")
        switch found.route {
        case .describeGroup: try await groupRoutes.describe(exchange, group)
        case .deleteGroup: try await groupRoutes.delete(exchange, group)
        case .commitOffsets: try await groupRoutes.commit(exchange, group)
        case .listOffsets: try await groupRoutes.listOffsets(exchange, group)
        default:
            let dryRun = try query.choice("dryRun", of: ["false", "true"]) == 1
            try await groupRoutes.reset(exchange, group, dryRun: dryRun)
        }
    }

    private func answerMember(
        _ exchange: Exchange, _ found: Found, _ query: Query
    ) async throws(Problem) {
        let group = try name(exchange, found.first)
        try checkName(group, of: "group")
        if found.route == .joinGroup { return try await memberRoutes.join(exchange, group) }
        let member = try name(exchange, found.second)
        try checkName(member, of: "member")
        switch found.route {
        case .pollMember: try await memberRoutes.poll(exchange, group, member)
        case .heartbeatMember: try await memberRoutes.heartbeat(exchange, group, member)
        case .leaveGroup: try await memberRoutes.leave(exchange, group, member)
        default: try await memberRoutes.stream(exchange, group, member, query)
        }
    }

    private func answerOperations(_ exchange: Exchange, _ route: Route) {
        switch route {
        case .ready where !backend.isReady || exchange.serverIsDraining:
            var what = exchange.serverIsDraining ? "draining" : "recovering"
            if let progress = backend.recoveryProgress { what += " (\(progress))" }
            exchange.respond(
                Problem(.notReady, "This instance is \(what); ask another, or again in a second.")
                    .response())
        case .metrics:
            exchange.respond(
                Response(
                    status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8",
                    body: metrics.exposition()))
        case .openAPI:
            exchange.respond(
                Response(status: 200, contentType: "application/yaml", body: OpenAPI.document))
        default:
            exchange.respond(
                Response(
                    status: 200, contentType: "text/plain; charset=utf-8", body: Array("ok\n".utf8))
            )
        }
    }

    /// A variable segment of the path, percent-decoded once.
    func name(_ exchange: Exchange, _ segment: Range<Int>) throws(Problem) -> String {
        let bytes = exchange.head.bytes
        guard bytes[segment].contains(UInt8(ascii: "%")) else {
            return String(decoding: bytes[segment], as: UTF8.self)
        }
        var decoded: [UInt8] = []
        var at = segment.lowerBound
        while at < segment.upperBound {
            var byte = bytes[at]
            // The HTTP server has checked that two hex digits follow.
            if byte == UInt8(ascii: "%"), let high = hexDigit(bytes[at + 1]),
                let low = hexDigit(bytes[at + 2])
            {
                byte = high << 4 | low
                at += 2
            }
            decoded.append(byte)
            at += 1
        }
        guard isUTF8(decoded[...]), !decoded.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
            throw Problem(
                .invalidName,
                "A name in the path is not UTF-8, or holds a control byte, when decoded.")
        }
        return String(decoding: decoded, as: UTF8.self)
    }

    private func partition(_ exchange: Exchange, _ segment: Range<Int>) throws(Problem) -> Int {
        let text = try name(exchange, segment)
        let isPlain = text.utf8.allSatisfy { (0x30...0x39).contains($0) }
        guard isPlain, let partition = Int32(text) else {
            throw Problem(
                .invalidParameter, "A partition is a number from 0 on.",
                [("parameter", .string("partition"))])
        }
        return Int(partition)
    }
}
