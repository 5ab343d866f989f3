import Backends
import HTTPServer
import JSON
import Platform

/// Committed offsets of consumer groups whose consumers share the partitions out themselves.
struct GroupRoutes {
    let backend: any Backend
    let coordinator: GroupCoordinator
    let time: any TimeSource

    // MARK: - Groups

    func list(_ exchange: Exchange) async throws(Problem) {
        let groups = try await coordinating { () async throws(GroupError) in
            try await coordinator.groups()
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("groups")
        writer.beginArray()
        for group in groups where !exchange.operations(onGroup: group).isEmpty {
            writer.group(group)
        }
        writer.endArray()
        writer.endObject()
        exchange.respond(Response(status: 200, contentType: "application/json", body: writer.bytes))
    }

    func describe(_ exchange: Exchange, _ group: String) async throws(Problem) {
        try await checkExists(group)
        var writer = JSONWriter()
        writer.group(group)
        exchange.respond(Response(status: 200, contentType: "application/json", body: writer.bytes))
    }

    func delete(_ exchange: Exchange, _ group: String) async throws(Problem) {
        try await coordinating { () async throws(GroupError) in
            try await coordinator.deleteGroup(group)
        }
        exchange.respond(Response(status: 204, contentType: nil))
    }

    // MARK: - Offsets

    func commit(_ exchange: Exchange, _ group: String) async throws(Problem) {
        let document = try CommitDocument(parsing: await exchange.controlBody())
        if let topic = document.topic { try exchange.require(.read, onTopic: topic) }
        let offsets = try offsets(of: document)
        for offset in offsets { try exchange.require(.read, onTopic: offset.topic) }
        try await commit(group, offsets)
        exchange.respond(Response(status: 204, contentType: nil))
    }

    func listOffsets(_ exchange: Exchange, _ group: String) async throws(Problem) {
        try await checkExists(group)
        let offsets = try await committed(group).filter {
            !exchange.operations(onTopic: $0.topic).isEmpty
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("offsets")
        writer.beginArray()
        for offset in offsets {
            let lag = try await calling { () async throws(BackendError) in
                try await Lag.measure(
                    backend.topic(offset.topic), offset.partition, committed: offset.offset,
                    time: time)
            }
            writer.offset(offset, lag)
        }
        writer.endArray()
        writer.endObject()
        exchange.respond(Response(status: 200, contentType: "application/json", body: writer.bytes))
    }

    /// Sets the offsets, or with `dryRun` only says what it would set.
    func reset(_ exchange: Exchange, _ group: String, dryRun: Bool) async throws(Problem) {
        let document = try ResetDocument(parsing: await exchange.controlBody())
        let before = try await committed(group).filter {
            !exchange.operations(onTopic: $0.topic).isEmpty
        }
        for topic in document.topics ?? [] { try exchange.require(.read, onTopic: topic) }
        let offsets = try await targets(of: document, before)
        for offset in offsets { try exchange.require(.read, onTopic: offset.topic) }
        if !dryRun { try await commit(group, offsets) }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("dryRun")
        writer.bool(dryRun)
        writer.name("offsets")
        writer.beginArray()
        for offset in offsets {
            let previous = before.first {
                $0.topic == offset.topic && $0.partition == offset.partition
            }
            writer.reset(offset, previous: previous?.offset)
        }
        writer.endArray()
        writer.endObject()
        exchange.respond(Response(status: 200, contentType: "application/json", body: writer.bytes))
    }

    // MARK: - What is meant

    private func offsets(of document: CommitDocument) throws(Problem) -> [OffsetCommit] {
        guard let cursor = document.cursor else { return document.offsets }
        var offsets: [OffsetCommit] = []
        for entry in cursor.entries {
            guard let name = entry.topic ?? document.topic else {
                throw Problem(
                    .missingField,
                    "The cursor names no topic: give `topic` beside it, or write its entries as "
                        + "topic/partition:nextOffset.", [("field", .string("topic"))])
            }
            if let tag = cursor.tag, entry.topic == nil { try find(name).check(tag: tag) }
            offsets.append(
                OffsetCommit(topic: name, partition: entry.partition, offset: entry.next))
        }
        return offsets
    }

    private func targets(
        of document: ResetDocument, _ committed: [GroupOffset]
    ) async throws(Problem) -> [OffsetCommit] {
        let start: ReadStart
        switch document.target {
        case .offsets(let offsets): return offsets
        case .earliest: start = .earliest
        case .latest: start = .latest
        case .timestamp(let timestamp): start = .timestamp(timestamp)
        }
        var offsets: [OffsetCommit] = []
        for name in document.topics ?? Array(Set(committed.map(\.topic))).sorted() {
            for position in try await start.positions(in: find(name), partition: nil) {
                offsets.append(
                    OffsetCommit(topic: name, partition: position.partition, offset: position.next))
            }
        }
        return offsets
    }

    private func find(_ name: String) throws(Problem) -> any Topic {
        do { return try backend.topic(name) } catch { throw Problem(error) }
    }

    private func checkExists(_ group: String) async throws(Problem) {
        let exists = try await coordinating { () async throws(GroupError) in
            try await coordinator.contains(group)
        }
        if !exists { throw Problem(GroupError.unknownGroup(group)) }
    }

    private func committed(_ group: String) async throws(Problem) -> [GroupOffset] {
        try await coordinating { () async throws(GroupError) in
            try await coordinator.committed(group)
        }
    }

    private func commit(_ group: String, _ offsets: [OffsetCommit]) async throws(Problem) {
        try await coordinating { () async throws(GroupError) in
            try await coordinator.commit(group, offsets)
        }
    }

    private func coordinating<Value>(
        _ call: () async throws(GroupError) -> Value
    ) async throws(Problem) -> Value {
        do { return try await call() } catch { throw Problem(error) }
    }
}

extension JSONWriter {
    fileprivate mutating func group(_ group: String) {
        beginObject()
        name("group")
        string(group)
        name("state")
        string("empty")
        name("members")
        beginArray()
        endArray()
        endObject()
    }

    fileprivate mutating func offset(_ offset: GroupOffset, _ lag: Lag) {
        beginObject()
        place(offset.topic, offset.partition, offset.offset)
        name("metadata")
        string(offset.metadata)
        name("endOffset")
        integer(lag.endOffset.value)
        name("lag")
        integer(lag.records)
        name("lagMs")
        integer(lag.milliseconds)
        name("owner")
        null()
        name("committedAt")
        integer(offset.committedAt)
        endObject()
    }

    fileprivate mutating func reset(_ offset: OffsetCommit, previous: Offset?) {
        beginObject()
        place(offset.topic, offset.partition, offset.offset)
        name("previousOffset")
        optional(previous?.value)
        endObject()
    }

    private mutating func place(_ topic: String, _ partition: Int, _ offset: Offset) {
        name("topic")
        string(topic)
        name("partition")
        integer(Int64(partition))
        name("offset")
        integer(offset.value)
    }
}
