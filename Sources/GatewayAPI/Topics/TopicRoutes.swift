import Backends
import HTTPServer
import JSON

/// Topics: list, create, describe, alter, delete, and trimming a partition's records.
struct TopicRoutes {
    let backend: any Backend
    let coordinator: GroupCoordinator

    func list(_ exchange: Exchange) async throws(Problem) {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("topics")
        writer.beginArray()
        for topic in try await calling({ () async throws(BackendError) in try await backend.topics()
        }) where !exchange.operations(onTopic: topic.name).isEmpty {
            writer.topic(topic)
        }
        writer.endArray()
        writer.endObject()
        exchange.respond(Response(status: 200, contentType: "application/json", body: writer.bytes))
    }

    func create(_ exchange: Exchange, _ name: String) async throws(Problem) {
        try checkTopicName(name)
        let document = try TopicDocument(parsing: await exchange.controlBody())
        let (topic, created) = try await calling { () async throws(BackendError) in
            try await backend.createTopic(
                name, partitionCount: document.change.partitionCount ?? 1,
                configuration: document.configuration)
        }
        try await describe(topic, exchange, status: created ? 201 : 200)
    }

    func describe(_ exchange: Exchange, _ name: String) async throws(Problem) {
        try await describe(try find(name), exchange, status: 200)
    }

    func alter(_ exchange: Exchange, _ name: String) async throws(Problem) {
        let change = try TopicDocument(parsing: await exchange.controlBody()).change
        let topic = try await calling { () async throws(BackendError) in
            try await backend.alterTopic(name, change)
        }
        try await describe(topic, exchange, status: 200)
    }

    func delete(_ exchange: Exchange, _ name: String) async throws(Problem) {
        let topicID = try find(name).topicID
        try await calling { () async throws(BackendError) in try await backend.deleteTopic(name) }
        do {
            try await coordinator.forgetTopic(topicID)
        } catch {
            // The topic is gone, and with it all that names its UUID: what is left costs only
            // space.
        }
        exchange.respond(Response(status: 204, contentType: nil))
    }

    /// Moves the log start offset to `before`; behind it nothing changes.
    func deleteRecords(
        _ exchange: Exchange, _ name: String, _ partition: Int, before: Offset
    ) async throws(Problem) {
        let topic = try find(name)
        let start = try await calling { () async throws(BackendError) in
            try await topic.deleteRecords(partition, before: before)
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("partition")
        writer.integer(Int64(partition))
        writer.name("logStartOffset")
        writer.integer(start.value)
        writer.endObject()
        exchange.respond(Response(status: 200, contentType: "application/json", body: writer.bytes))
    }

    private func find(_ name: String) throws(Problem) -> any Topic {
        do { return try backend.topic(name) } catch { throw Problem(error) }
    }

    private func describe(
        _ topic: any Topic, _ exchange: Exchange, status: Int
    ) async throws(Problem) {
        let description = try await calling { () async throws(BackendError) in
            try await topic.describe()
        }
        var writer = JSONWriter()
        writer.topic(description)
        exchange.respond(
            Response(status: status, contentType: "application/json", body: writer.bytes))
    }
}

/// Runs a call of the seam and turns its error into the answer.
func calling<Value>(
    _ call: () async throws(BackendError) -> Value
) async throws(Problem) -> Value {
    do { return try await call() } catch { throw Problem(error) }
}

/// Kafka's rule for topic names, and ours that a leading `__` is for internal topics.
func checkTopicName(_ name: String) throws(Problem) {
    try checkName(name, of: "topic")
    if name.hasPrefix("__") {
        throw Problem(
            .reservedName,
            "Names that begin with `__` are kept for internal topics. Choose another.")
    }
}

/// `[A-Za-z0-9._-]{1,249}`, not `.` or `..`: the rule for topics and groups alike.
func checkName(_ name: String, of kind: String) throws(Problem) {
    let isPlain = name.utf8.allSatisfy {
        (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
            || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
    }
    guard isPlain, (1...249).contains(name.utf8.count), name != ".", name != ".." else {
        throw Problem(
            .invalidName,
            "A \(kind) name is 1 to 249 of the characters A-Z a-z 0-9 . _ - and not `.` or `..`.")
    }
}

extension Exchange {
    /// The body of a request that configures something.
    func controlBody(limit: Int = Limits.controlBodyBytes) async throws(Problem) -> [UInt8] {
        do {
            return try await readBody(limit: limit)
        } catch {
            throw Problem(error)
        }
    }
}
