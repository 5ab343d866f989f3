import Backends
import HTTPServer
import JSON
import Platform

/// Members of consumer groups: the coordinator shares the partitions out.
struct MemberRoutes {
    let backend: any Backend
    let coordinator: GroupCoordinator
    let maxWait: Duration

    func join(_ exchange: Exchange, _ group: String) async throws(Problem) {
        let request = try JoinRequest(parsing: await exchange.controlBody())
        for topic in request.topics { try exchange.require(.read, onTopic: topic) }
        let view = try await exchange.coordinating { () async throws(GroupError) in
            try await coordinator.join(group, request)
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("memberId")
        writer.string(view.memberID)
        writer.assignment(of: view)
        writer.name("heartbeatIntervalMs")
        writer.integer(view.heartbeatInterval)
        writer.endObject()
        exchange.respond(Response(status: 201, contentType: "application/json", body: writer.bytes))
    }

    func poll(_ exchange: Exchange, _ group: String, _ member: String) async throws(Problem) {
        let document = try PollDocument(
            parsing: await exchange.controlBody(limit: Limits.offsetsBodyBytes))
        if !document.commit.isEmpty { try exchange.require(.commit, onGroup: group) }
        // Before anything is stored or let go.
        if exchange.caller != nil {
            for topic in Set(document.commit.map(\.topic)) {
                try exchange.require(.read, onTopic: topic)
            }
            try exchange.requireRead(
                await exchange.coordinating { () async throws(GroupError) in
                    try await coordinator.view(group, member, epoch: document.memberEpoch)
                })
        }
        try await MemberPoll(
            exchange: exchange, seat: seat(group, member), document: document, maxWait: maxWait
        ).answer()
    }

    func heartbeat(_ exchange: Exchange, _ group: String, _ member: String) async throws(Problem) {
        let epoch = try parseHeartbeat(await exchange.controlBody())
        let hasNews = try await exchange.coordinating { () async throws(GroupError) in
            try await coordinator.heartbeat(group, member, epoch: epoch)
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("memberEpoch")
        writer.integer(epoch)
        writer.name("assignmentChanged")
        writer.bool(hasNews)
        writer.endObject()
        exchange.respond(Response(status: 200, contentType: "application/json", body: writer.bytes))
    }

    func leave(_ exchange: Exchange, _ group: String, _ member: String) async throws(Problem) {
        try await exchange.coordinating { () async throws(GroupError) in
            try await coordinator.leave(group, member)
        }
        exchange.respond(Response(status: 204, contentType: nil))
    }

    /// The member's partitions as a stream that never commits and ends with the assignment.
    func stream(
        _ exchange: Exchange, _ group: String, _ member: String, _ query: Query
    ) async throws(Problem) {
        guard let epoch = try query.integer("memberEpoch") else {
            throw Problem(
                .invalidParameter, "Say with which epoch the member reads: `?memberEpoch={epoch}`.",
                [("parameter", .string("memberEpoch"))])
        }
        let form = try ReadRequest.Form(
            accepted: exchange.head, of: ["application/x-ndjson", "text/event-stream"])
        var cursor = try query.text("cursor").map { text throws(Problem) in
            try Cursor(parsing: text)
        }
        if let value = exchange.head.value(of: .lastEventID), !value.isEmpty {
            cursor = try Cursor(
                parsing: String(decoding: exchange.head.bytes[value], as: UTF8.self))
        }
        if let cursor { _ = try cursor.commits() }
        let limit = try query.integer("maxRecords", in: 1...Int64.max)
        let view = try await exchange.coordinating { () async throws(GroupError) in
            try await coordinator.view(group, member, epoch: epoch)
        }
        let seat = seat(group, member)
        try exchange.requireRead(view)
        try await ConsumeStream(
            exchange: exchange, form: form, maxRecords: limit.map { Int(clamping: $0) },
            growing: nil, seat: (seat, view)
        ).answer(from: seat.positions(view, cursor), tag: nil)
    }

    private func seat(_ group: String, _ member: String) -> Seat {
        Seat(coordinator: coordinator, backend: backend, group: group, member: member)
    }
}

extension Exchange {
    /// Whoever speaks for a member must be allowed to read what it has, whoever had it join.
    func requireRead(_ view: MemberView) throws(Problem) {
        guard caller != nil else { return }
        for topic in Set(view.assignment.map(\.topic)) {
            // Not even a name of what one may not see.
            if operations(onTopic: topic).isEmpty {
                throw Problem(GroupError.unknownMember(view.memberID))
            }
            try require(.read, onTopic: topic)
        }
    }
}
