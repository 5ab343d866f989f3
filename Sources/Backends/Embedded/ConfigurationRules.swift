/// What the embedded backend takes as a topic's name and configuration.
extension TopicConfiguration {
    func check() throws(BackendError) {
        if let retentionMs {
            try check("retentionMs", retentionMs, Limits.retentionMs)
        }
        if let retentionBytes {
            try check("retentionBytes", retentionBytes, Limits.retentionBytes)
        }
        try check("deleteRetentionMs", deleteRetentionMs, Limits.deleteRetentionMs)
        try check("segmentBytes", segmentBytes, Limits.segmentBytes)
        try check(
            "maxRecordBytes", Int64(maxRecordBytes),
            Int64(Limits.maxRecordBytes.lowerBound)...Int64(Limits.maxRecordBytes.upperBound))
        try checkSingle("replicationFactor", replicationFactor)
        try checkSingle("minInsyncReplicas", minInsyncReplicas)
    }

    private func check(
        _ field: String, _ value: Int64, _ range: ClosedRange<Int64>
    ) throws(BackendError) {
        guard !range.contains(value) else { return }
        let reason = "must be between \(range.lowerBound) and \(range.upperBound), not \(value)"
        throw .invalidConfiguration(field: field, reason: reason)
    }

    private func checkSingle(_ field: String, _ value: Int) throws(BackendError) {
        guard value != 1 else { return }
        throw .invalidConfiguration(
            field: field,
            reason: "must be 1: this server keeps one copy in its own directory; "
                + "a Kafka cluster behind Millrace has replicas")
    }

    /// This configuration with what `change` names in place of its own.
    package func applying(_ change: TopicChange) -> TopicConfiguration {
        var configuration = self
        if let retentionMs = change.retentionMs { configuration.retentionMs = retentionMs }
        if let retentionBytes = change.retentionBytes {
            configuration.retentionBytes = retentionBytes
        }
        if let cleanupPolicy = change.cleanupPolicy { configuration.cleanupPolicy = cleanupPolicy }
        if let deleteRetentionMs = change.deleteRetentionMs {
            configuration.deleteRetentionMs = deleteRetentionMs
        }
        if let compressionType = change.compressionType {
            configuration.compressionType = compressionType
        }
        if let segmentBytes = change.segmentBytes { configuration.segmentBytes = segmentBytes }
        if let maxRecordBytes = change.maxRecordBytes {
            configuration.maxRecordBytes = maxRecordBytes
        }
        if let replicationFactor = change.replicationFactor {
            configuration.replicationFactor = replicationFactor
        }
        if let minInsyncReplicas = change.minInsyncReplicas {
            configuration.minInsyncReplicas = minInsyncReplicas
        }
        return configuration
    }
}

/// Kafka's rule: 1 to 249 of `[A-Za-z0-9._-]`, and not `.` or `..`.
func isTopicName(_ name: String) -> Bool {
    guard (1...Limits.topicNameBytes).contains(name.utf8.count), name != ".", name != ".." else {
        return false
    }
    return name.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "-"):
            true
        default: false
        }
    }
}

/// Topics of the program itself, hidden from clients.
func isInternalTopicName(_ name: String) -> Bool { name.utf8.starts(with: "__".utf8) }

/// The same for names that one can be taken for the other: by case, or `.` and `_`.
func foldedName(_ name: String) -> String {
    String(name.lowercased().map { $0 == "." ? "_" : $0 })
}

func checkTopicName(_ name: String) throws(BackendError) {
    guard isTopicName(name) else {
        throw .invalidConfiguration(
            field: "topic",
            reason: "a topic's name has 1 to \(Limits.topicNameBytes) of the characters "
                + "A-Z a-z 0-9 . _ - and is not . or ..")
    }
    guard !isInternalTopicName(name) else {
        throw .invalidConfiguration(
            field: "topic", reason: "names that begin with __ belong to the server")
    }
}

func checkPartitionCount(_ count: Int) throws(BackendError) {
    guard (1...Limits.partitionsPerTopic).contains(count) else {
        throw .invalidConfiguration(
            field: "partitions",
            reason: "must be between 1 and \(Limits.partitionsPerTopic), not \(count)")
    }
}
