import Backends
import HTTPServer
import JSON
import Platform

/// `POST /v1/topics/{topic}/records`, in every form of body.
final class ProduceRoute: Sendable {
    private let backend: any Backend
    private let configuration: GatewayConfiguration
    let time: any TimeSource
    let partitioner = Partitioner()
    let keyGate = KeyGate()
    /// Reads and appends bodies that would keep an event loop from its other connections.
    private let largeBodies = WorkerPool(name: "produce", limit: ProduceLimits.largeBodies)

    init(
        backend: any Backend, configuration: GatewayConfiguration, time: any TimeSource
    ) {
        self.backend = backend
        self.configuration = configuration
        self.time = time
    }

    // MARK: - Hot path

    /// Budget: 3 µs of our own code for one small record.
    func produce(
        _ exchange: Exchange, topic name: String, _ query: Query
    ) async throws(Problem) {
        let asked = try asked(exchange, query)
        let mayCreate = exchange.operations(onTopic: name).contains(.create)
        let topic = try await topic(name, mayCreate: mayCreate, asked.options.partition)
        if asked.form == .lines { return try await produceLines(exchange, topic, asked) }
        let body: [UInt8]
        do { body = try await exchange.readBody(limit: configuration.maxBodyBytes) } catch {
            throw Problem(error)
        }
        try await produce(exchange, topic, asked, body)
    }

    /// What head and query say.
    private struct Asked {
        var form: ProduceForm
        var wantsLines: Bool
        var options: ProduceOptions
        var rules: ProduceRules?
    }

    // None of these is inlined: thousands of bodies may be awaited, and each keeps the frame of
    // `produce`.

    @inline(never)
    private func asked(_ exchange: Exchange, _ query: Query) throws(Problem) -> Asked {
        let form = try ProduceForm(exchange.head)
        let wantsLines = try wantsLines(exchange.head, form)
        let options = try ProduceOptions(query)
        let rules = try ProduceRules(exchange.head, form, options)
        return Asked(form: form, wantsLines: wantsLines, options: options, rules: rules)
    }

    @inline(never)
    private func produceLines(
        _ exchange: Exchange, _ topic: any Topic, _ asked: Asked
    ) async throws(Problem) {
        let lines = LinesProduce(
            exchange, topic, asked.options, partitioner, time, configuration.maxBodyBytes)
        try await asked.wantsLines ? lines.answerInLines() : lines.answerAtEnd()
    }

    @inline(never)
    private func produce(
        _ exchange: Exchange, _ topic: any Topic, _ asked: Asked, _ body: [UInt8]
    ) async throws(Problem) {
        let produce = BodyProduce(
            route: self, topic: topic, form: asked.form, options: asked.options, rules: asked.rules,
            head: exchange.head, grant: exchange.caller?.grant, now: exchange.now, body: body)
        guard body.count > ProduceLimits.bytesOnLoop else {
            return exchange.respond(try await produce.answer())
        }
        exchange.respond(
            try await withTaskExecutorPreference(largeBodies) { () async throws(Problem) in
                try await produce.answer()
            })
    }

    // MARK: - Before the body

    /// Whether acknowledgement lines are asked for; a problem where no form we have is accepted.
    private func wantsLines(
        _ head: borrowing RequestHead, _ form: ProduceForm
    ) throws(Problem) -> Bool {
        guard let first = head.value(of: .accept) else { return false }
        let bytes = head.bytes
        if isText(bytes, first, "*/*") || isText(bytes, first, "application/json") { return false }
        let accept = Accept(head.list(.accept))
        let lines = "application/x-ndjson"
        if form == .lines,
            head.values(of: .accept).contains(where: { acceptNames(bytes, in: $0, lines) }),
            accept.best(of: [lines, "application/json"]) == 0
        {
            return true
        }
        if accept.best(of: ["application/json"]) != nil { return false }
        throw Problem(
            .notAcceptable,
            "A produce is answered in application/json, or, where the body is "
                + "application/x-ndjson, in application/x-ndjson. Accept one of them.")
    }

    /// The topic, which has the partition if one is named; created where the operator lets the
    /// first produce do that.
    private func topic(
        _ name: String, mayCreate: Bool, _ partition: Int?
    ) async throws(Problem) -> any Topic {
        do throws(BackendError) {
            let topic = try backend.topic(name)
            try check(partition, topic.partitionCount)
            return topic
        } catch {
            guard case .unknownTopic = error,
                let partitionCount = configuration.autoCreatePartitions, mayCreate
            else { throw Problem(error) }
            // Of what is not appended no topic is left.
            do { try check(partition, partitionCount) } catch { throw Problem(error) }
            return try await createTopic(name, partitionCount)
        }
    }

    private func check(_ partition: Int?, _ partitionCount: Int) throws(BackendError) {
        guard let partition, partition >= partitionCount else { return }
        throw .unknownPartition(partition, partitionCount: partitionCount)
    }

    private func createTopic(_ name: String, _ partitionCount: Int) async throws(Problem)
        -> any Topic
    {
        try checkTopicName(name)
        do throws(BackendError) {
            return try await backend.createTopic(
                name, partitionCount: partitionCount, configuration: TopicConfiguration()
            ).topic
        } catch {
            // Someone else created it just now, as something else.
            guard case .topicExists = error else { throw Problem(error) }
        }
        do throws(BackendError) { return try backend.topic(name) } catch { throw Problem(error) }
    }
}
