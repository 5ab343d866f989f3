package import Platform

/// What a look at a data directory's metadata found, for `millrace log verify`; nothing is changed.
package struct DirectoryVerdict {
    /// In words for an operator.
    package private(set) var damage: [String] = []
    /// Directories of partitions to look into, from the data directory on.
    package private(set) var partitions: [String] = []

    /// Throws where `path` is no data directory.
    package init(_ path: String, disk: any Disk) throws(DiskError) {
        let directory = DataDirectory(path: path, disk: disk)
        if let words = directory.nodeDamage() { damage.append(words) }
        for entry in try directory.list() {
            let name = "topics/\(entry)"
            switch directory.inspect(entry) {
            case .remains: break
            case .quarantined(let reason):
                damage.append("\(name): \(reason)")
                let names = (try? disk.list(directory.topicPath(entry))) ?? []
                partitions += names.filter(isPartitionName).sorted().map { "\(name)/\($0)" }
            case .topic(let metadata, let missing):
                for partition in 0..<metadata.partitionCount {
                    if missing.contains(partition) {
                        damage.append("\(name)/\(partition): the directory is missing")
                    } else {
                        partitions.append("\(name)/\(partition)")
                    }
                }
            }
        }
    }
}
