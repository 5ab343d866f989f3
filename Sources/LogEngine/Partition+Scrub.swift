import Platform

/// Looking for damage before someone reads it.
extension Partition {
    /// Reads every sealed segment and holds it against its checksums and its chain; makes chain
    /// files anew where they are missing. At damage the partition stops: what is before it is
    /// served, the rest and all writes are refused (`failure`). Not remembered over a restart; the
    /// next pass finds it again.
    ///
    /// Blocks, for a thread that may: `pace` is called about every MiB and may sleep.
    package func scrub(_ pace: (Int64) -> Void) {
        let bases: [Int64] = state.withLock { state in
            state.segments.map(\.base).filter { $0 < state.durable.segment }
        }
        for base in bases { scrub(base, pace) }
    }

    private func scrub(_ base: Int64, _ pace: (Int64) -> Void) {
        let (segment, gapsAllowedBefore): (Segment?, Int64) = state.withLock { state in
            guard case .open = state.status, let index = state.segmentIndex(base: base),
                state.segments[index].isInPlace
            else { return (nil, 0) }
            return (state.segments[index], state.gapsAllowedBefore)
        }
        guard let segment else { return }
        let words: String
        var mark = LogMark(offset: base, segment: base, position: 0)
        do throws(DiskError) {
            let file = try disk.open(path(base, SegmentName.log), .read)
            let check = ChainedScan(
                file, byteCount: segment.byteCount, base: base,
                gapsAllowedBefore: gapsAllowedBefore, disk: disk, directory: directory
            ) { byteCount in
                state.withLock { $0.statistics.scrubbedBytes &+= UInt64(byteCount) }
                pace(byteCount)
            }
            guard let damage = check.damage(byteCount: segment.byteCount) else {
                return mend(check, segment)
            }
            words = damage
            if check.origin == nil {
                mark.offset = check.scan.nextOffset
                mark.position = check.scan.validEnd
            }
        } catch {
            // The next pass tries again.
            if error.isPassing { return }
            words = "cannot be opened: \(error)"
        }
        stop(at: mark, segment, "\(path(base, SegmentName.log)) \(words)")
    }

    /// With the log whole: the chain file, if it is not. Compaction, which may be about to put
    /// another log in this one's place, waits meanwhile.
    private func mend(_ check: ChainedScan, _ segment: Segment) {
        guard let chain = check.chainToStore else { return }
        swapping.withLock { _ in
            guard state.withLock({ Self.holds($0, segment) }) else { return }
            do throws(DiskError) {
                try ChainFile.begin(chain, disk, directory)
                try ChainFile.store(chain, disk, directory, isLast: true)
                try disk.syncDirectory(directory)
                state.withLock { $0.statistics.chainsMadeAnew &+= 1 }
            } catch {
                // The next pass tries again.
            }
        }
    }

    /// Unless the segment was deleted or compacted meanwhile, which is no damage.
    private func stop(at mark: LogMark, _ segment: Segment, _ words: String) {
        let isStopped = state.withLock { state in
            guard case .open = state.status, Self.holds(state, segment),
                mark.offset >= state.logStart
            else { return false }
            state.status = .damaged(at: mark.offset, words)
            state.end = mark.offset
            state.durable = mark
            state.statistics.scrubbedDamage &+= 1
            return true
        }
        if isStopped { tellAll() }
    }

    private static func holds(_ state: PartitionState, _ segment: Segment) -> Bool {
        state.generation(of: segment.base) == segment.generation
    }
}
