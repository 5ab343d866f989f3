import Platform

/// A walk over a segment along its chain file: for recovery, the scrubber and
/// `millrace log verify`.
struct ChainedScan {
    let scan: SegmentScan
    /// nil where there is none of this segment: then nothing says what was written here, and up to
    /// where it was synced.
    private(set) var stored: StoredChain?
    /// Where the log belongs, when it is another segment's, chain file and all.
    private(set) var origin: String?
    /// What is wrong with the chain file alone.
    private(set) var note: String?

    init(
        _ file: any DiskFile, byteCount: Int64, base: Int64, gapsAllowedBefore: Int64,
        disk: any Disk, directory: String, progress: (Int64) -> Void = { _ in },
        visit: (RecordBatchHeader, _ position: Int64) -> Void = { _, _ in }
    ) {
        let place = SegmentPlace(directory: directory, base: base)
        let stored = ChainFile.load(disk, directory, base)
        if let stored, stored.place != place {
            let foreign = SegmentScan(
                file, byteCount: byteCount, base: stored.place.base, gapsAllowedBefore: .max,
                chain: SegmentChain(stored.place), marks: stored.marks)
            if foreign.verified != nil {
                let name = String(decoding: stored.place.partition, as: UTF8.self)
                origin = "\(name), base offset \(stored.place.base)"
                scan = foreign
                return
            }
            note = "the chain file is another segment's"
        } else if let stored {
            self.stored = stored
            if !stored.isWhole { note = "the chain file is damaged" }
        } else {
            note = "there is no chain file that can be read"
        }
        scan = SegmentScan(
            file, byteCount: byteCount, base: base, gapsAllowedBefore: gapsAllowedBefore,
            chain: SegmentChain(place), marks: self.stored?.marks ?? [], progress: progress,
            visit: visit)
    }

    /// What a sealed segment, which must be whole, has instead; nil where all is well.
    func damage(byteCount: Int64) -> String? {
        if let origin { return "is the segment of \(origin)" }
        let place = "from byte \(scan.validEnd) on"
        switch scan.ending {
        case .complete:
            guard scan.validEnd < stored?.syncedEnd ?? 0 else { return nil }
            return "ends at byte \(scan.validEnd), and was synced beyond"
        case .torn: return "is no batch \(place)"
        case .damaged(let validAt): return "is damaged \(place); a batch follows at byte \(validAt)"
        case .misplaced: return "has other batches \(place) than were written"
        case .unreadable(let error): return "cannot be read \(place): \(error)"
        }
    }

    /// The chain to store where the file is not as it should be; nil where it is.
    var chainToStore: SegmentChain? {
        let isStored = stored?.isWhole == true && stored?.marks.last == scan.chain?.end
        return isStored || scan.validEnd == 0 ? nil : scan.chain
    }
}
