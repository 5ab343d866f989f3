/// What can be allowed or denied, in Kafka's words where it has them.
package struct Operations: OptionSet, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let read = Operations(rawValue: 1)
    package static let write = Operations(rawValue: 2)
    package static let create = Operations(rawValue: 4)
    package static let alter = Operations(rawValue: 8)
    package static let delete = Operations(rawValue: 16)
    package static let join = Operations(rawValue: 32)
    package static let commit = Operations(rawValue: 64)
    package static let reset = Operations(rawValue: 128)
    package static let metrics = Operations(rawValue: 256)

    package static let names: [(operation: Operations, name: String)] = [
        (.read, "read"), (.write, "write"), (.create, "create"), (.alter, "alter"),
        (.delete, "delete"), (.join, "join"), (.commit, "commit"), (.reset, "reset"),
        (.metrics, "metrics"),
    ]

    /// `read,write`: as rules and answers write them.
    package var text: String {
        Self.names.filter { contains($0.operation) }.map(\.name).joined(separator: ",")
    }
}

/// The kinds of things operations are done to.
package enum Resource: String, CaseIterable, Sendable {
    case topic, group, server

    /// What can be done to a thing of this kind.
    package var operations: Operations {
        switch self {
        case .topic: [.read, .write, .create, .alter, .delete]
        case .group: [.join, .commit, .reset, .delete]
        case .server: .metrics
        }
    }
}
