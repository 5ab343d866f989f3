import Platform

/// The chain files while the partition is written to. Workers that hold `syncing` come here.
///
/// Budget: one write of 20 bytes for each sync, 20 bytes more for each 4 KiB of log, and two syncs
/// for each segment; no descriptor is kept.
extension Partition {
    /// Stores what is durable now. Where that fails it is tried with the next sync: meanwhile
    /// recovery would know less about the segment.
    func store(_ chain: SegmentChain) {
        do throws(DiskError) {
            try ChainFile.store(chain, disk, directory)
            settle(chain)
        } catch {
            // As said above.
        }
    }

    /// After a roll, with the data of all segments synced and before the directory is: completes
    /// the files of those that were sealed, and makes the active one's head durable, without which
    /// nothing in the segment may be acknowledged.
    func sealChains(_ chains: [SegmentChain], active: Int64) throws(DiskError) {
        for chain in chains where chain.place.base != active {
            do throws(DiskError) {
                try ChainFile.store(chain, disk, directory, isLast: true)
            } catch {
                // The scrubber makes it anew.
            }
        }
        if let chain = chains.last, chain.place.base == active {
            try ChainFile.store(chain, disk, directory, isLast: true)
            settle(chain)
        }
        state.withLock { state in
            for index in state.segments.indices where state.segments[index].base < active {
                state.segments[index].chain = nil
            }
        }
    }

    func settle(_ chain: SegmentChain) {
        state.withLock { state in
            guard let index = state.segmentIndex(base: chain.place.base) else { return }
            state.segments[index].chain?.settle(chain)
        }
    }
}
