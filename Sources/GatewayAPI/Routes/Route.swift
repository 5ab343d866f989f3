package import HTTPServer

/// Every resource and method of the API, each written once; `openapi.yaml` lists the same, and a
/// test compares them.
package enum Route: UInt8, CaseIterable, Sendable {
    case listTopics, createTopic, describeTopic, alterTopic, deleteTopic, deleteRecords
    case produce
    case readPartition, readTopic
    case listGroups, describeGroup, deleteGroup, commitOffsets, listOffsets, resetOffsets
    case joinGroup, pollMember, streamMember, heartbeatMember, leaveGroup
    case createTicket
    case live, ready, metrics, openAPI

    package var method: Method {
        switch self {
        case .listTopics, .describeTopic, .readPartition, .readTopic, .listGroups, .describeGroup,
            .listOffsets, .streamMember, .live, .ready, .metrics, .openAPI:
            .get
        case .createTopic, .resetOffsets: .put
        case .alterTopic: .patch
        case .deleteTopic, .deleteRecords, .deleteGroup, .leaveGroup: .delete
        case .produce, .commitOffsets, .joinGroup, .pollMember, .heartbeatMember, .createTicket:
            .post
        }
    }

    package var template: String {
        switch self {
        case .listTopics: "/v1/topics"
        case .createTopic, .describeTopic, .alterTopic, .deleteTopic: "/v1/topics/{topic}"
        case .produce, .readTopic: "/v1/topics/{topic}/records"
        case .readPartition, .deleteRecords: "/v1/topics/{topic}/partitions/{partition}/records"
        case .listGroups: "/v1/groups"
        case .describeGroup, .deleteGroup: "/v1/groups/{group}"
        case .commitOffsets, .listOffsets, .resetOffsets: "/v1/groups/{group}/offsets"
        case .joinGroup: "/v1/groups/{group}/members"
        case .leaveGroup: "/v1/groups/{group}/members/{member}"
        case .pollMember: "/v1/groups/{group}/members/{member}/poll"
        case .streamMember: "/v1/groups/{group}/members/{member}/records"
        case .heartbeatMember: "/v1/groups/{group}/members/{member}/heartbeat"
        case .createTicket: "/v1/tickets"
        case .live: "/livez"
        case .ready: "/readyz"
        case .metrics: "/metrics"
        case .openAPI: "/openapi.yaml"
        }
    }

    /// The query parameters the route takes; any other is refused.
    package var parameters: [String] {
        switch self {
        case .produce: ["acks", "partition", "key"]
        case .readPartition: ["offset"] + Self.readParameters
        case .readTopic: Self.readParameters
        case .deleteRecords: ["before"]
        case .resetOffsets: ["dryRun"]
        case .streamMember: ["memberEpoch", "cursor", "maxRecords"]
        case .listTopics, .createTopic, .describeTopic, .alterTopic, .deleteTopic, .listGroups,
            .describeGroup, .deleteGroup, .commitOffsets, .listOffsets, .joinGroup, .pollMember,
            .heartbeatMember, .leaveGroup, .createTicket, .live, .ready, .metrics, .openAPI:
            []
        }
    }

    /// Whether it takes something away or changes how it is kept: who did that is always logged
    /// (OWASP API6).
    package var isAudited: Bool {
        switch self {
        case .createTopic, .alterTopic, .deleteTopic, .deleteRecords, .deleteGroup, .resetOffsets:
            true
        case .listTopics, .describeTopic, .produce, .readPartition, .readTopic, .listGroups,
            .describeGroup, .commitOffsets, .listOffsets, .joinGroup, .pollMember, .streamMember,
            .heartbeatMember, .leaveGroup, .createTicket, .live, .ready, .metrics, .openAPI:
            false
        }
    }

    private static let readParameters = [
        "cursor", "from", "maxRecords", "maxBytes", "waitMs", "ticket",
    ]
}
