package import Access

/// What a request needs to be let in.
package enum Permission: Equatable, Sendable {
    /// Nothing: it shows nothing of anyone's.
    case none
    /// A right token. What it does not concern is left out of the answer, or checked by the route.
    case identity
    /// These operations on the topic in the path; none of them: any at all.
    case topic(Operations)
    /// These operations on the group in the path; none of them: any at all.
    case group(Operations)
    case server(Operations)
}

extension Route {
    /// Without `default:`, so that a new route does not compile until it says who may use it.
    package var permission: Permission {
        switch self {
        case .live, .ready: .none
        // The contract is the same for everyone and stands in the repository.
        case .openAPI: .none
        // Tells how much there is of everything, and how it is used.
        case .metrics: .server(.metrics)
        case .listTopics, .listGroups, .createTicket: .identity
        case .createTopic: .topic(.create)
        case .describeTopic: .topic([])
        case .alterTopic: .topic(.alter)
        case .deleteTopic, .deleteRecords: .topic(.delete)
        case .produce: .topic(.write)
        case .readPartition, .readTopic: .topic(.read)
        case .describeGroup, .listOffsets: .group([])
        case .deleteGroup: .group(.delete)
        case .commitOffsets: .group(.commit)
        case .joinGroup, .pollMember, .streamMember, .heartbeatMember, .leaveGroup: .group(.join)
        case .resetOffsets: .group(.reset)
        }
    }

    /// Whether a request may go on for long, so that it must end when its credential does.
    var mayLast: Bool {
        switch self {
        case .produce, .readPartition, .readTopic, .pollMember, .streamMember: true
        case .listTopics, .createTopic, .describeTopic, .alterTopic, .deleteTopic, .deleteRecords,
            .listGroups, .describeGroup, .deleteGroup, .commitOffsets, .listOffsets, .resetOffsets,
            .joinGroup, .heartbeatMember, .leaveGroup, .createTicket, .live, .ready, .metrics,
            .openAPI:
            false
        }
    }
}
