import Platform

/// The chain files while the partition is written to. Workers that hold `syncing` come here.
///
/// Budget: one write of 20 bytes for each sync, 20 bytes more for each 4 KiB of log, and two syncs
/// for each segment; no descriptor is kept.
extension Partition {
    /// Stores what is durable now. Where that fails the segment goes on without: recovery then
    /// knows less about it, and the scrubber makes the file anew.
    func store(_ chain: SegmentChain) {
        do throws(DiskError) {
            try ChainFile.store(chain, disk, directory)
            settle(chain)
        } catch { dropChain(chain.place.base) }
    }

    private func settle(_ chain: SegmentChain) {
        state.withLock { state in
            guard let index = state.segmentIndex(base: chain.place.base) else { return }
            state.segments[index].chain?.settle(chain)
        }
    }

    /// After a roll, with the data of all segments synced and before the directory is: completes
    /// the files of those that were sealed, and begins the active one's.
    func sealChains(_ chains: [SegmentChain], active: Int64) {
        for chain in chains {
            do throws(DiskError) {
                if !chain.isBegun { try ChainFile.begin(chain, disk, directory) }
                try ChainFile.store(chain, disk, directory, isLast: true)
                if chain.place.base == active {
                    settle(chain)
                    continue
                }
            } catch {
                // As above.
            }
            dropChain(chain.place.base)
        }
    }

    private func dropChain(_ base: Int64) {
        state.withLock { state in
            guard let index = state.segmentIndex(base: base) else { return }
            state.segments[index].chain = nil
        }
    }
}
