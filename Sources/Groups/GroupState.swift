/// The groups of one shard, as a value: what its log says, and nothing else.
///
/// A request becomes records, the records are appended to the shard's log, and only `apply` changes
/// the state. Replaying the log therefore gives the same state again.
package struct GroupState: Equatable, Sendable {
    package private(set) var offsets = OffsetStore()
    package private(set) var groups: [GroupID: Group] = [:]
    /// Epochs of groups that are gone: a group that comes again begins above, so that no epoch a
    /// client may still hold is ever given twice.
    package private(set) var epochFloor: Int64 = 0
    /// How many members of which group name a topic, so that a change of it finds them.
    private var subscribers: [String: [GroupID: Int]] = [:]

    package init() {}

    /// A group is there as long as it has members or committed offsets.
    package func contains(_ group: GroupID) -> Bool {
        offsets.contains(group) || hasMembers(group)
    }

    package func hasMembers(_ group: GroupID) -> Bool {
        groups[group].map { !$0.members.isEmpty } ?? false
    }

    package var groupIDs: [GroupID] {
        offsets.groups + groups.keys.filter { hasMembers($0) && !offsets.contains($0) }
    }

    /// How many groups there are, with those that are about to be forgotten.
    private(set) var groupCount = 0

    /// An epoch no member of the group ever had, also before the group was last gone.
    func nextEpoch(_ group: GroupID) -> Int64 { max(groups[group]?.epoch ?? 0, epochFloor) + 1 }

    func groups(subscribedTo topic: String) -> [GroupID] {
        (subscribers[topic] ?? [:]).keys.sorted { $0.name < $1.name }
    }

    func hasSubscribers(_ group: GroupID, _ topic: String) -> Bool {
        subscribers[topic]?[group] != nil
    }

    // MARK: - Apply

    /// Returns the members whose poll, if it waits, should look again.
    @discardableResult
    package mutating func apply(_ record: GroupRecord) -> [MemberKey] {
        switch record {
        case .offsetCommitted(let key, _), .offsetRemoved(let key):
            counting(key.group) { $0.offsets.apply(record) }
            return []
        case .epochFloor(let floor):
            epochFloor = max(epochFloor, floor)
            return []
        case .group(let id, let metadata):
            change(id) { $0.set(metadata) }
            return []
        case .member(let key, let metadata):
            let before = groups[key.group]?.members[key.member]
            change(key.group) { $0.members[key.member] = metadata }
            count(before?.topics ?? [], -1, key.group)
            count(metadata?.topics ?? [], 1, key.group)
            return metadata == nil ? [key] : []
        case .target(let key, let target):
            change(key.group) { $0.setTarget(target, of: key.member) }
            return [key]
        case .assignment(let key, let assignment):
            var woken: Set<MemberID> = []
            change(key.group) { woken = $0.setAssignment(assignment, of: key.member) }
            return woken.sorted().map { MemberKey(key.group, $0) } + [key]
        }
    }

    private mutating func change(_ id: GroupID, _ body: (inout Group) -> Void) {
        counting(id) { state in
            body(&state.groups[id, default: Group()])
            if state.groups[id]?.isVacant == true { state.groups[id] = nil }
        }
    }

    private mutating func counting(_ id: GroupID, _ body: (inout Self) -> Void) {
        let wasThere = groups[id] != nil || offsets.contains(id)
        body(&self)
        let isThere = groups[id] != nil || offsets.contains(id)
        groupCount += (isThere ? 1 : 0) - (wasThere ? 1 : 0)
    }

    private mutating func count(_ topics: [String], _ difference: Int, _ group: GroupID) {
        for topic in topics {
            let count = (subscribers[topic]?[group] ?? 0) + difference
            subscribers[topic, default: [:]][group] = count > 0 ? count : nil
            if subscribers[topic]?.isEmpty == true { subscribers[topic] = nil }
        }
    }
}
