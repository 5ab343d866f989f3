import LogEngine
import Platform
import TestSupport

/// A share of the schedules is of a compacted partition: pitfalls 13 and 14.
///
/// The model keeps every record that was appended. Of each key the latest is there, at its offset,
/// and a tombstone as long as it must stay; once that is gone nothing of its key comes back. What
/// else is found was appended just so. A reader finds the same from wherever it begins.
extension LogSchedule {
    /// What is known of the passes so far.
    struct Passes {
        /// When passes may have begun, and the high watermark then.
        private var begun: [(end: Int64, at: Instant)] = []
        /// Tombstones before this offset may be gone.
        private(set) var expiredBefore: Int64 = 0

        mutating func begin(_ end: Int64, at now: Instant, deleteRetentionMs: Int64) {
            for pass in begun where (now - pass.at).wholeMilliseconds > deleteRetentionMs {
                expiredBefore = max(expiredBefore, pass.end)
            }
            begun.append((end, now))
        }
    }

    /// How long tombstones stay.
    static let deleteRetentionMs: Int64 = 45_000

    /// All passes that are due, with room for one key at a time or for all.
    @inline(never)
    mutating func compact() async throws {
        if random.below(3) == 0 { time.advance(by: .seconds(30)) }
        passes.begin(
            partition.highWatermark.value, at: time.now(),
            deleteRetentionMs: Self.deleteRetentionMs)
        var settings = CompactionSettings(hash: KeyHash(low: 1, high: 2))
        settings.mapByteCount = (1 + random.below(12)) * OffsetMap.slotByteCount * 4 / 3
        do throws(LogError) { try await partition.compact(settings) } catch {
            if case .damaged = error { throw Broken("compaction: \(error)") }
            trace.add(15)
        }
        trace.add(16, partition.byteCount)
    }

    /// None is missing among the offsets found that must be there.
    func judge(_ found: [Int64], from start: Int64, to end: Int64) throws(LogError) {
        let isFound = Set(found)
        var latest: [Int: Int64] = [:]
        // A checkpoint that is lost may bring back some of what was deleted, and compacted before.
        let start = max(start, logStart)
        for offset in start..<max(start, end) {
            if let key = appended[Int(offset)].key { latest[key] = offset }
        }
        for (key, offset) in latest where !isFound.contains(offset) {
            guard appended[Int(offset)].isTombstone else {
                throw .failed("the latest record of key \(key), at \(offset), is gone")
            }
            guard offset < passes.expiredBefore else {
                throw .failed("the tombstone of key \(key), at \(offset), is gone too early")
            }
            if let old = found.first(where: { $0 >= start && appended[Int($0)].key == key }) {
                throw .failed("key \(key) was deleted at \(offset) and is back from \(old)")
            }
        }
    }

    /// A reader who begins anywhere finds the rest of it, and so does one who asks by timestamp.
    @inline(never)
    func judgePlaces(
        _ found: [Int64], from start: Int64, to end: Int64
    ) async throws(LogError) {
        var random = random
        let place = start + Int64(random.below(Int(end - start)))
        guard try await collect(from: place, to: end) == found.filter({ $0 >= place }) else {
            throw .failed("from \(place) on other records are read than from \(start)")
        }
        guard !found.isEmpty else { return }
        let wanted = timestamp(found[random.below(found.count)])
        let first = found.first { timestamp($0) >= wanted } ?? end
        let answer = try await partition.offset(atOrAfter: wanted).value
        guard answer == first else {
            throw .failed("timestamp \(wanted) is found at \(answer), it is at \(first)")
        }
    }

    private func timestamp(_ offset: Int64) -> Int64 {
        Self.timestamp(appended[Int(offset)])
    }
}
