import Backends
import HTTPServer
import Platform

/// A member as the requests that read for it see it.
struct Seat {
    let coordinator: GroupCoordinator
    let backend: any Backend
    let group: String
    let member: String

    /// Where the member's partitions are read: by the cursor, else from what is committed, else
    /// from where it wanted to start. What the cursor names beside them is not the member's any
    /// more, and of what is new to the member, or of a topic that was created anew since, it tells
    /// nothing.
    func positions(
        _ view: MemberView, _ cursor: Cursor?
    ) throws(Problem) -> [ReadPosition] {
        let given = given(view, cursor)
        var positions: [ReadPosition] = []
        positions.reserveCapacity(view.assignment.count)
        for place in view.assignment {
            // A topic that is gone has left the assignment with the member's next poll.
            guard let topic = try topic(place) else { continue }
            var position = ReadPosition(
                topic: topic, partition: place.partition, next: Offset(0), followsStart: false)
            if let next = given[place.topic]?[place.partition] ?? place.committed {
                position.next = next
            } else if let bounds = try bounds(topic, place.partition) {
                position.next =
                    place.startFrom == .latest ? bounds.highWatermark : bounds.logStart
                position.followsStart = true
            } else {
                continue
            }
            positions.append(position)
        }
        return positions
    }

    /// Partitions that begin at the end, and of which neither the group nor the client knows where
    /// that is: it must be written down, or what comes between two polls would be skipped.
    func beginnings(_ view: MemberView, _ positions: [ReadPosition], _ cursor: Cursor?)
        -> [OffsetCommit]
    {
        guard view.assignment.contains(where: { $0.startFrom == .latest }) else { return [] }
        var known = given(view, cursor)
        for place in view.assignment where place.committed != nil || place.startFrom != .latest {
            known[place.topic, default: [:]][place.partition] = place.committed ?? Offset(0)
        }
        return positions.filter { known[$0.topic.name]?[$0.partition] == nil }.map {
            OffsetCommit(topic: $0.topic.name, partition: $0.partition, offset: $0.next)
        }
    }

    /// By topic and partition, where the cursor says that the member goes on.
    private func given(_ view: MemberView, _ cursor: Cursor?) -> [String: [Int: Offset]] {
        var given: [String: [Int: Offset]] = [:]
        guard let cursor else { return given }
        for entry in cursor.entries {
            given[entry.topic ?? "", default: [:]][entry.partition] = entry.next
        }
        let tags = cursor.tagsOfTopics
        for place in view.assignment {
            let isOfAnother = tags[place.topic].map { !place.topicID.hasPrefix($0) } ?? false
            if place.isNew || isOfAnother { given[place.topic]?[place.partition] = nil }
        }
        return given
    }

    private func topic(_ place: MemberView.Place) throws(Problem) -> (any Topic)? {
        do throws(BackendError) {
            let topic = try backend.topic(place.topic)
            guard topic.topicID == place.topicID else { return nil }
            // While a topic is being deleted it is still found, and nothing in it.
            _ = try topic.bounds(place.partition)
            return topic
        } catch {
            switch error {
            case .unknownTopic: return nil
            // Its place is kept, and nobody is kept from the others.
            case .partitionFailed: return try? backend.topic(place.topic)
            default: throw Problem(error)
            }
        }
    }

    /// nil of a partition that failed: where it begins and ends is not known.
    private func bounds(_ topic: any Topic, _ partition: Int) throws(Problem) -> PartitionBounds? {
        do throws(BackendError) { return try topic.bounds(partition) } catch {
            if case .partitionFailed = error { return nil }
            throw Problem(error)
        }
    }

    // MARK: - Changes of the assignment

    func watch(_ wakeup: Wakeup) throws(Problem) -> UInt64 {
        do { return try coordinator.watch(group, member, wakeup) } catch { throw Problem(error) }
    }

    func unwatch(_ watch: UInt64) { coordinator.unwatch(group, member, watch) }
}

/// Calls the coordinator; what it cannot do becomes the answer.
func coordinating<Value>(
    _ call: () async throws(GroupError) -> Value
) async throws(Problem) -> Value {
    do { return try await call() } catch { throw Problem(error) }
}

extension Exchange {
    /// The same of a member, whose new assignment may hold topics that the caller may not see.
    func coordinating<Value>(
        _ call: () async throws(GroupError) -> Value
    ) async throws(Problem) -> Value {
        do { return try await call() } catch {
            if case .fencedMemberEpoch(let view) = error { try requireRead(view) }
            throw Problem(error)
        }
    }
}
