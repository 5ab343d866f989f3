import Access
import HTTPServer
import JSON

extension Gateway {
    // MARK: - Hot path

    /// Lets the request of a route in, or says why not, before anything of it is done.
    func admit(
        _ exchange: Exchange, _ found: Found, _ query: Query, _ doorkeeper: Doorkeeper
    ) throws(Problem) {
        let permission = found.route.permission
        if permission == .none { return }
        let caller: Caller
        if let ticket = query.bytes("ticket") {
            caller = try redeem(ticket, exchange, found, doorkeeper)
        } else {
            caller = try doorkeeper.caller(exchange)
        }
        exchange.owner = caller
        try authorize(exchange, found, permission, caller)
        try doorkeeper.charge(caller, now: exchange.now)
        if found.route.mayLast { doorkeeper.watch(exchange, caller) }
    }

    private func authorize(
        _ exchange: Exchange, _ found: Found, _ permission: Permission, _ caller: Caller
    ) throws(Problem) {
        switch permission {
        case .none, .identity: return
        case .topic(let operations):
            try exchange.require(operations, onTopic: name(exchange, found.first))
        case .group(let operations):
            try exchange.require(operations, onGroup: name(exchange, found.first))
        case .server(let operations):
            let allowed = caller.grant.principal.rules.operations(on: .server)
            guard allowed.isSuperset(of: operations) else {
                throw .forbidden(operations.subtracting(allowed), .server, "")
            }
        }
    }

    // MARK: - Tickets

    /// A ticket is good for one stream of its topic and for nothing else.
    private func redeem(
        _ ticket: [UInt8], _ exchange: Exchange, _ found: Found, _ doorkeeper: Doorkeeper
    ) throws(Problem) -> Caller {
        guard exchange.head.value(of: .authorization) == nil else {
            throw Problem(
                .invalidParameter, "Send `Authorization` or a ticket, not both.",
                [("parameter", .string("ticket"))])
        }
        guard exchange.head.method == .get, try ReadRequest.Form(accepted: exchange.head) != .page
        else {
            throw Problem(
                .invalidParameter,
                "A ticket opens a stream only: ask for `Accept: text/event-stream`.",
                [("parameter", .string("ticket"))])
        }
        let topic = try name(exchange, found.first)
        guard
            let grant = doorkeeper.access.tickets.redeem(
                ticket, topic: topic, wall: time.wallMilliseconds(), now: exchange.now)
        else {
            throw try doorkeeper.failure(
                exchange,
                "The ticket is not known, was used, has expired, or is for another topic. POST "
                    + "/v1/tickets gives a new one.")
        }
        return Caller(grant)
    }

    /// `POST /v1/tickets`, `{"topic":"orders"}`.
    func createTicket(_ exchange: Exchange) async throws(Problem) {
        let topic = try Self.ticketTopic(await exchange.controlBody())
        guard let doorkeeper, let caller = exchange.caller else {
            throw Problem(
                .unknownRoute,
                "This server asks nobody who they are, so there are no tickets: streams need none.")
        }
        try exchange.require(.read, onTopic: topic)
        let ticket = doorkeeper.access.tickets.issue(
            caller.grant, topic: topic, wall: time.wallMilliseconds(), now: exchange.now)
        guard let ticket else {
            throw Problem(
                .limitReached,
                "There are as many unused tickets out as there may be; they end after "
                    + "\(Tickets.lifetime.wholeMilliseconds / 1000) s.")
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("ticket")
        writer.string(ticket)
        writer.name("topic")
        writer.string(topic)
        writer.name("expiresInMs")
        writer.integer(Tickets.lifetime.wholeMilliseconds)
        writer.endObject()
        var response = Response(
            status: 201, contentType: "application/json", body: writer.bytes)
        response.fields.append(("cache-control", "no-store"))
        exchange.respond(response)
    }

    private static func ticketTopic(_ body: [UInt8]) throws(Problem) -> String {
        var topic: String?
        try parsing {
            var reader = JSONReader(body)
            try reader.readObject("A ticket", fields: ["topic"]) { name, reader in
                topic = try reader.stringField(name)
            }
            try reader.end()
        }
        guard let topic else {
            throw Problem(
                .missingField, "Say which topic the ticket is to read.",
                [("field", .string("topic"))])
        }
        try checkName(topic, of: "topic")
        return topic
    }
}
