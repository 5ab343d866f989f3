import Groups
import Platform

/// The files of a data directory around the partitions' own, and the order in which they change.
///
///     LOCK                                  flock
///     node.json                             format version, node id
///     topics/<uuid>/topic.json              the topic is there
///     topics/<uuid>/topic.json.new          it is being created: no record is in it yet
///     topics/<uuid>/topic.json.deleted      it is being deleted: only the removal is left to do
///     topics/<uuid>/<partition>/            a partition's log
///
/// Each state is one name of one file, changed by a rename that is made durable before the next
/// step, so a crash leaves a topic whole or not there. A directory that fits no state is never
/// removed. All calls block; they run on workers.
struct DataDirectory: Sendable {
    let path: String
    let disk: any Disk

    var lockPath: String { path + "/LOCK" }
    private var nodePath: String { path + "/node.json" }
    private var topicsPath: String { path + "/topics" }

    func topicPath(_ topicID: String) -> String { topicsPath + "/" + topicID }
    func partitionPath(_ topicID: String, _ partition: Int) -> String {
        topicPath(topicID) + "/" + String(partition)
    }

    // MARK: - The directory

    func create() throws(DiskError) {
        var made = [parent(of: path)]
        while let last = made.last, !disk.exists(last) { made.append(parent(of: last)) }
        try disk.createDirectory(path)
        for directory in made { try disk.syncDirectory(directory) }
    }

    /// Reads node.json, or writes it where the directory is new.
    func openNode() throws(StartError) {
        do {
            if disk.exists(nodePath) {
                try checkNode(try readFile(nodePath))
                try disk.createDirectory(topicsPath)
                try disk.syncDirectory(path)
                return
            }
            if disk.exists(topicsPath), try !disk.list(topicsPath).isEmpty {
                throw StartError.damaged(
                    "\(nodePath) is missing though there are topics. Restore it, or, if this "
                        + "program wrote them, write {\"formatVersion\":1,\"nodeId\":0} to it.")
            }
            try replaceFile(nodePath, with: NodeMetadata().encoded(), in: path)
            try disk.createDirectory(topicsPath)
            try disk.syncDirectory(path)
        } catch let error as StartError {
            throw error
        } catch let error as DiskError {
            throw .storage(error.description)
        } catch {
            throw .damaged("\(nodePath): \(error)")
        }
    }

    private func checkNode(_ bytes: [UInt8]) throws(StartError) {
        let node: NodeMetadata
        do { node = try NodeMetadata(decoding: bytes) } catch {
            throw .damaged("\(nodePath): \(error.reason)")
        }
        guard node.formatVersion <= NodeMetadata.currentFormatVersion else {
            throw .formatTooNew(
                found: node.formatVersion, known: NodeMetadata.currentFormatVersion)
        }
    }

    /// What is wrong with node.json, in words for an operator.
    func nodeDamage() -> String? {
        do { try checkNode(try readFile(nodePath)) } catch let error as StartError {
            return error.explanation
        } catch {
            return "\(error)"
        }
        return nil
    }

    // MARK: - Finding topics

    /// What a directory under topics/ turned out to be.
    enum Found: Sendable {
        case topic(TopicMetadata, missingPartitions: Set<Int>)
        /// Created or deleted by half: to be removed.
        case remains
        /// Not to be touched: the reason is for an operator.
        case quarantined(String)
    }

    func list() throws(DiskError) -> [String] { try disk.list(topicsPath).sorted() }

    func inspect(_ entry: String) -> Found {
        let directory = topicPath(entry)
        do {
            let names = Set(try disk.list(directory))
            if names.contains("topic.json") { return try inspect(entry, names) }
            if names.contains("topic.json.deleted") { return .remains }
            if names.isEmpty, TopicID(entry) != nil { return .remains }
            if names.contains("topic.json.new") {
                guard try !holdsRecords(directory, names) else {
                    return .quarantined("it was never created to the end, yet holds records")
                }
                return .remains
            }
            return .quarantined("topic.json is missing")
        } catch {
            return .quarantined(error.description)
        }
    }

    private func inspect(_ entry: String, _ names: Set<String>) throws(DiskError) -> Found {
        let bytes = try readFile(topicPath(entry) + "/topic.json")
        let metadata: TopicMetadata
        do { metadata = try TopicMetadata(decoding: bytes) } catch {
            return .quarantined("topic.json is damaged: \(error.reason)")
        }
        guard metadata.topicID == entry else {
            return .quarantined("topic.json is of topic \(metadata.topicID)")
        }
        let missing = (0..<metadata.partitionCount).filter { !names.contains(String($0)) }
        return .topic(metadata, missingPartitions: Set(missing))
    }

    /// Whether any log file in a partition's directory has bytes.
    private func holdsRecords(
        _ directory: String, _ names: Set<String>
    ) throws(DiskError) -> Bool {
        for name in names where isPartitionName(name) {
            if try holdsRecords(partition: directory + "/" + name) { return true }
        }
        return false
    }

    private func holdsRecords(partition path: String) throws(DiskError) -> Bool {
        for name in try disk.list(path) where name.hasSuffix(".log") {
            if try disk.open(path + "/" + name, .read).byteCount() > 0 { return true }
        }
        return false
    }

    // MARK: - Creating, growing, deleting

    /// First the mark, then the partitions' directories; the topic is there when `commitTopic`
    /// returns.
    func beginTopic(_ metadata: TopicMetadata) throws(DiskError) {
        let directory = topicPath(metadata.topicID)
        try disk.createDirectory(directory)
        try writeFile(directory + "/topic.json.new", metadata.encoded())
        try disk.syncDirectory(directory)
        try disk.syncDirectory(topicsPath)
        try addPartitions(metadata.topicID, 0..<metadata.partitionCount)
    }

    func commitTopic(_ topicID: String) throws(DiskError) {
        let directory = topicPath(topicID)
        try disk.rename(directory + "/topic.json.new", to: directory + "/topic.json")
        try disk.syncDirectory(directory)
    }

    /// Directories before topic.json: a crash between leaves empty ones, which the next try takes.
    func addPartitions(_ topicID: String, _ range: Range<Int>) throws(DiskError) {
        for partition in range {
            let path = partitionPath(topicID, partition)
            if disk.exists(path), try holdsRecords(partition: path) {
                throw DiskError(operation: "grow onto records in", path: path, code: 0)
            }
            try disk.createDirectory(path)
        }
        try disk.syncDirectory(topicPath(topicID))
    }

    func writeTopic(_ metadata: TopicMetadata) throws(DiskError) {
        let directory = topicPath(metadata.topicID)
        try replaceFile(directory + "/topic.json", with: metadata.encoded(), in: directory)
    }

    /// The topic is gone when this returns; `removeTopic` gives the space back. Where it throws,
    /// the topic is there as before, unless undoing failed as well.
    func markDeleted(_ topicID: String) throws(DiskError) {
        let directory = topicPath(topicID)
        let (path, marked) = (directory + "/topic.json", directory + "/topic.json.deleted")
        try disk.rename(path, to: marked)
        do { try disk.syncDirectory(directory) } catch {
            try disk.rename(marked, to: path)
            throw error
        }
    }

    /// Removes what is left of a topic. The mark goes last, so that a crash resumes the removal.
    func removeTopic(_ entry: String) throws(DiskError) {
        let directory = topicPath(entry)
        let names = try disk.list(directory)
        for name in names where isPartitionName(name) {
            let partition = directory + "/" + name
            for file in try disk.list(partition) { try disk.remove(partition + "/" + file) }
            try disk.removeDirectory(partition)
        }
        try disk.syncDirectory(directory)
        let marks: Set = ["topic.json.deleted", "topic.json.new"]
        let rest = names.filter { !isPartitionName($0) }
        for name in rest.filter({ !marks.contains($0) }) + rest.filter(marks.contains) {
            try disk.remove(directory + "/" + name)
        }
        try disk.removeDirectory(directory)
        try disk.syncDirectory(topicsPath)
    }

    // MARK: - Files

    /// Old or new, and never half: temporary file, sync, rename, sync of the directory.
    private func replaceFile(
        _ path: String, with bytes: [UInt8], in directory: String
    ) throws(DiskError) {
        let temporary = path + ".tmp"
        try writeFile(temporary, bytes)
        try disk.rename(temporary, to: path)
        try disk.syncDirectory(directory)
    }

    private func writeFile(_ path: String, _ bytes: [UInt8]) throws(DiskError) {
        let file = try disk.open(path, .readWrite)
        try file.truncate(to: 0)
        try file.write(bytes.span, at: 0)
        try file.sync()
    }

    /// Metadata files are small; of a larger one only as much is read as shows that it is not ours.
    private func readFile(_ path: String) throws(DiskError) -> [UInt8] {
        let file = try disk.open(path, .read)
        let byteCount = min(try file.byteCount(), Limits.metadataFileBytes)
        var bytes: [UInt8] = []
        try file.read(into: &bytes, count: Int(byteCount), at: 0)
        return bytes
    }
}

func isPartitionName(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
}

/// The directory a path's last component is in.
private func parent(of path: String) -> String {
    var path = path[...]
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}
