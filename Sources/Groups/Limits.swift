/// What bounds the state of groups.
package enum Limits {
    /// Bytes of a group's name, as of a topic's.
    package static let groupNameBytes = 249
    /// Bytes of the metadata a client may keep with a committed offset (Kafka's default).
    package static let metadataBytes = 4096
    /// Bytes of a topic's name in a record.
    static let topicNameBytes = 249
}
