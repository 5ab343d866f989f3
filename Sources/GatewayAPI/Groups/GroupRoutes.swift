import Backends
import HTTPServer
import JSON
import Platform

/// Consumer groups as a whole, and their committed offsets. `MemberRoutes` has their members.
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
        for group in groups where !exchange.operations(onGroup: group.name).isEmpty {
            writer.summary(group)
        }
        writer.endArray()
        writer.endObject()
        exchange.respond(Response(status: 200, contentType: "application/json", body: writer.bytes))
    }

    func describe(_ exchange: Exchange, _ group: String) async throws(Problem) {
        var description = try await find(group: group)
        if exchange.caller != nil {
            description.showTopics { !exchange.operations(onTopic: $0).isEmpty }
        }
        var writer = JSONWriter()
        writer.group(group, description)
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
        let document = try CommitDocument(
            parsing: await exchange.controlBody(limit: Limits.offsetsBodyBytes))
        if let topic = document.topic { try exchange.require(.read, onTopic: topic) }
        let offsets = try offsets(of: document)
        for offset in offsets { try exchange.require(.read, onTopic: offset.topic) }
        if let member = document.memberID, let epoch = document.memberEpoch {
            try checkName(member, of: "member")
            try await exchange.coordinating { () async throws(GroupError) in
                try await coordinator.commit(group, member, epoch: epoch, offsets)
            }
        } else {
            try await commit(group, offsets)
        }
        exchange.respond(Response(status: 204, contentType: nil))
    }

    func listOffsets(_ exchange: Exchange, _ group: String) async throws(Problem) {
        _ = try await find(group: group)
        let offsets = try await committed(group).filter {
            !exchange.operations(onTopic: $0.topic).isEmpty
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("offsets")
        writer.beginArray()
        for offset in offsets {
            writer.offset(offset, try await lag(of: offset))
        }
        writer.endArray()
        writer.endObject()
        exchange.respond(Response(status: 200, contentType: "application/json", body: writer.bytes))
    }

    /// Sets the offsets, or with `dryRun` only says what it would set.
    func reset(_ exchange: Exchange, _ group: String, dryRun: Bool) async throws(Problem) {
        let document = try ResetDocument(
            parsing: await exchange.controlBody(limit: Limits.offsetsBodyBytes))
        let before = try await committed(group).filter {
            !exchange.operations(onTopic: $0.topic).isEmpty
        }
        if dryRun, try await hasMembers(group) { throw Problem(GroupError.groupNotEmpty(group)) }
        for topic in document.topics ?? [] { try exchange.require(.read, onTopic: topic) }
        let offsets = try await targets(of: document, before)
        // Nothing to reset in a group that is not there: rather a name that was not meant.
        if offsets.isEmpty { _ = try await find(group: group) }
        var previous: [String: [Int: Offset]] = [:]
        for each in before { previous[each.topic, default: [:]][each.partition] = each.offset }
        for offset in offsets { try exchange.require(.read, onTopic: offset.topic) }
        if !dryRun { try await commit(group, offsets) }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("dryRun")
        writer.bool(dryRun)
        writer.name("offsets")
        writer.beginArray()
        for offset in offsets {
            writer.reset(offset, previous: previous[offset.topic]?[offset.partition])
        }
        writer.endArray()
        writer.endObject()
        exchange.respond(Response(status: 200, contentType: "application/json", body: writer.bytes))
    }

    // MARK: - What is meant

    private func offsets(of document: CommitDocument) throws(Problem) -> [OffsetCommit] {
        guard let cursor = document.cursor else { return document.offsets }
        var offsets: [OffsetCommit] = []
        let tags = cursor.tagsOfTopics
        for entry in cursor.entries {
            guard let name = entry.topic ?? document.topic else {
                throw Problem(
                    .missingField,
                    "The cursor names no topic: give `topic` beside it, or write its entries as "
                        + "topic/partition:nextOffset.", [("field", .string("topic"))])
            }
            let tag = tags[entry.topic ?? ""]
            if let tag, document.memberID == nil { try find(name).check(tag: tag) }
            offsets.append(
                OffsetCommit(
                    topic: name, partition: entry.partition, offset: entry.next, topicTag: tag))
        }
        return offsets
    }

    private func targets(
        of document: ResetDocument, _ committed: [GroupOffset]
    ) async throws(Problem) -> [OffsetCommit] {
        let start: ReadStart
        switch document.target {
        case .offsets(let offsets):
            try checkCount(offsets)
            return offsets
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
            // Before more of them are looked up: a short list of names can stand for millions.
            try checkCount(offsets)
        }
        return offsets
    }

    private func checkCount(_ offsets: [OffsetCommit]) throws(Problem) {
        let limit = GroupLimits.partitionsPerGroup
        if offsets.count > limit { throw Problem(GroupError.tooManyOffsets(limit: limit)) }
    }

    /// nil of a partition that failed or is damaged, which is no reason to hide the others'.
    private func lag(of offset: GroupOffset) async throws(Problem) -> Lag? {
        do throws(BackendError) {
            return try await Lag.measure(
                backend.topic(offset.topic), offset.partition, committed: offset.offset, time: time)
        } catch {
            switch error {
            case .partitionFailed, .damaged: return nil
            default: throw Problem(error)
            }
        }
    }

    private func find(_ name: String) throws(Problem) -> any Topic {
        do { return try backend.topic(name) } catch { throw Problem(error) }
    }

    private func find(group: String) async throws(Problem) -> GroupDescription {
        try await coordinating { () async throws(GroupError) in
            try await coordinator.describe(group)
        }
    }

    private func hasMembers(_ group: String) async throws(Problem) -> Bool {
        do { return try await find(group: group).state != .empty } catch {
            if error.code == .unknownGroup { return false }
            throw error
        }
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
}

extension GroupDescription {
    /// Leaves out every topic of which the caller may know nothing.
    fileprivate mutating func showTopics(where isVisible: (String) -> Bool) {
        var known: [String: Bool] = [:]
        func isShown(_ topic: String) -> Bool {
            if let answer = known[topic] { return answer }
            let answer = isVisible(topic)
            known[topic] = answer
            return answer
        }
        for index in members.indices {
            members[index].metadata.topics.removeAll { !isShown($0) }
            members[index].owned.removeAll { !isShown($0.topic) }
            members[index].revoking.removeAll { !isShown($0.topic) }
            members[index].pending.removeAll { !isShown($0.topic) }
        }
    }
}

extension JSONWriter {
    /// `{"group","state","memberCount"}`
    fileprivate mutating func summary(_ group: GroupSummary) {
        beginObject()
        name("group")
        string(group.name)
        name("state")
        string(group.state.rawValue)
        name("memberCount")
        integer(Int64(group.memberCount))
        endObject()
    }

    /// Who owns what, since when, and why.
    fileprivate mutating func group(_ group: String, _ description: GroupDescription) {
        beginObject()
        name("group")
        string(group)
        name("state")
        string(description.state.rawValue)
        if description.state != .empty {
            name("assignor")
            string(description.assignor.name)
            name("rebalancedAt")
            integer(description.changedAt)
            name("reason")
            string(description.reason)
        }
        name("members")
        beginArray()
        for member in description.members { self.member(member) }
        endArray()
        endObject()
    }

    private mutating func member(_ member: GroupDescription.Member) {
        beginObject()
        name("memberId")
        string(member.member.name)
        name("memberEpoch")
        integer(member.epoch)
        name("topics")
        beginArray()
        for topic in member.metadata.topics { string(topic) }
        endArray()
        for (field, places) in [
            ("assignment", member.owned), ("revoking", member.revoking),
            ("pending", member.pending),
        ] {
            name(field)
            self.places(places.map { (topic: $0.topic, partition: Int($0.partition)) })
        }
        name("since")
        integer(member.since)
        name("reason")
        string(member.reason)
        name("joinedAt")
        integer(member.metadata.joinedAt)
        name("sessionTimeoutMs")
        integer(member.metadata.sessionTimeout)
        name("rebalanceTimeoutMs")
        integer(member.metadata.rebalanceTimeout)
        name("startFrom")
        string("\(member.metadata.startFrom)")
        endObject()
    }

    fileprivate mutating func offset(_ offset: GroupOffset, _ lag: Lag?) {
        beginObject()
        place(offset.topic, offset.partition, offset.offset)
        name("metadata")
        string(offset.metadata)
        integer("endOffset", lag?.endOffset.value)
        integer("lag", lag?.records)
        integer("lagMs", lag?.milliseconds)
        name("owner")
        if let owner = offset.owner { string(owner) } else { null() }
        name("committedAt")
        integer(offset.committedAt)
        endObject()
    }

    private mutating func integer(_ name: String, _ value: Int64?) {
        self.name(name)
        if let value { integer(value) } else { null() }
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
