import Platform

/// Who waits for the high watermark to pass an offset.
///
/// Nearly all wait at the high watermark itself; they are on one list, and one advance wakes them
/// all. Those further on stand in a heap by offset. Adding and removing on the list is O(1), in the
/// heap O(log n); an advance costs O(woken). Who has been woken stays known, for what concerns
/// everyone.
struct Watchers: Sendable {
    private struct Slot: Sendable {
        var wakeup: Wakeup?
        var generation: UInt32 = 0
        /// Where in `atWatermark` the slot stands; -1: not there.
        var place: Int32 = -1
    }

    private struct Later: Sendable {
        var offset: Int64
        var slot: UInt32
        var generation: UInt32
    }

    private var slots: [Slot] = []
    private var free: [UInt32] = []
    /// Slots that any advance of the high watermark wakes.
    private var atWatermark: [UInt32] = []
    /// A heap, least offset first. Entries of watchers that left go when they come up.
    private var later: [Later] = []

    var count: Int { slots.count - free.count }

    /// `offset` is the high watermark or more; call `add(woken:)` for less.
    mutating func add(_ wakeup: Wakeup, past offset: Int64, highWatermark: Int64) -> UInt64 {
        let slot = takeSlot(wakeup)
        if offset <= highWatermark {
            slots[Int(slot)].place = Int32(atWatermark.count)
            atWatermark.append(slot)
        } else {
            if later.count > 64 + 2 * count { dropDeparted() }
            later.append(
                Later(offset: offset, slot: slot, generation: slots[Int(slot)].generation))
            siftUp(later.count - 1)
        }
        return id(of: slot)
    }

    /// For one that has been woken at once: known, but no advance concerns it.
    mutating func add(woken wakeup: Wakeup) -> UInt64 {
        // First the slot: `id` reads what `takeSlot` changes.
        let slot = takeSlot(wakeup)
        return id(of: slot)
    }

    mutating func remove(_ id: UInt64) {
        let slot = Int(truncatingIfNeeded: id & 0xFFFF_FFFF)
        guard slot < slots.count, slots[slot].generation == UInt32(id >> 32),
            slots[slot].wakeup != nil
        else { return }
        let place = Int(slots[slot].place)
        if place >= 0 {
            let last = atWatermark.removeLast()
            if Int(last) != slot {
                atWatermark[place] = last
                slots[Int(last)].place = Int32(place)
            }
        }
        slots[slot] = Slot(generation: slots[slot].generation &+ 1)
        free.append(UInt32(slot))
    }

    /// Those whom an advance to `highWatermark` concerns.
    mutating func advance(to highWatermark: Int64) -> [Wakeup] {
        var woken: [Wakeup] = []
        woken.reserveCapacity(atWatermark.count)
        for slot in atWatermark {
            if let wakeup = slots[Int(slot)].wakeup { woken.append(wakeup) }
            slots[Int(slot)].place = -1
        }
        atWatermark.removeAll(keepingCapacity: true)
        while let next = later.first, next.offset < highWatermark {
            removeFirstLater()
            if slots[Int(next.slot)].generation == next.generation,
                let wakeup = slots[Int(next.slot)].wakeup
            {
                woken.append(wakeup)
            }
        }
        return woken
    }

    var all: [Wakeup] { slots.compactMap(\.wakeup) }

    private mutating func takeSlot(_ wakeup: Wakeup) -> UInt32 {
        if let slot = free.popLast() {
            slots[Int(slot)].wakeup = wakeup
            return slot
        }
        slots.append(Slot(wakeup: wakeup))
        return UInt32(slots.count - 1)
    }

    private func id(of slot: UInt32) -> UInt64 {
        UInt64(slots[Int(slot)].generation) << 32 | UInt64(slot)
    }

    private mutating func dropDeparted() {
        later.removeAll { slots[Int($0.slot)].generation != $0.generation }
        later.sort { $0.offset < $1.offset }
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        while index > 0, later[index].offset < later[(index - 1) / 2].offset {
            later.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func removeFirstLater() {
        later.swapAt(0, later.count - 1)
        later.removeLast()
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < later.count {
                if later[child].offset < later[least].offset { least = child }
            }
            if least == index { return }
            later.swapAt(index, least)
            index = least
        }
    }
}
