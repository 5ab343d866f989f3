package import Platform

/// Opening: what a clean stop vouched for is believed, the rest is scanned.
///
/// 1. A vouch is revoked, durably, before anything else is written (KAFKA-10471).
/// 2. Segments behind the log start, whose removal a crash undid, are removed.
/// 3. Segments from the recovery point on are scanned. What a crash cut short is cut off; where
/// intact
///    batches follow damage, nothing is touched and the partition takes no writes.
/// 4. What remains is synced before it counts as durable.
extension Partition {
    /// Whether `directory` has no segment, as one that was opened once always has, and nothing says
    /// where the log ended: only the checkpoint of a log that was closed does.
    package static func isGone(_ directory: String, disk: any Disk) -> Bool {
        guard let names = try? disk.list(directory),
            !names.contains(where: { SegmentName.base($0, suffix: SegmentName.log) != nil })
        else { return false }
        let checkpoint = try? Checkpoint.load(disk, directory)
        return !(checkpoint?.isClean ?? false)
    }

    /// Opens or creates the log in `directory`, recovering what a clean stop did not vouch for.
    /// `progress` is called now and then with the bytes scanned since its last call. `workers` runs
    /// syncs and cold reads. `openSegments` is one for all partitions that share a budget.
    /// `onFailure` is told why the partition fails later on, if it does.
    package static func open(
        _ directory: String, disk: any Disk, time: any TimeSource, workers: WorkerPool,
        openSegments: OpenSegments = OpenSegments(), options: PartitionOptions,
        onFailure: @escaping @Sendable (String) -> Void = { _ in },
        progress: @Sendable (Int64) -> Void
    ) throws(LogError) -> Partition {
        do throws(DiskError) {
            if !disk.exists(directory) {
                try disk.createDirectory(directory)
                if let slash = directory.lastIndex(of: "/"), slash > directory.startIndex {
                    try disk.syncDirectory(String(directory[..<slash]))
                }
            }
            var recovery = try Recovery(
                directory, disk: disk, now: time.now(), wallMilliseconds: time.wallMilliseconds(),
                options: options)
            try recovery.run(progress)
            return Partition(
                directory, disk: disk, time: time, workers: workers, openSegments: openSegments,
                onFailure: onFailure, state: recovery.state)
        } catch {
            throw .disk(error)
        }
    }
}
