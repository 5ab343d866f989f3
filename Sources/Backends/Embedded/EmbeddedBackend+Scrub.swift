import Platform

extension EmbeddedBackend {
    /// Reads all sealed segments now and then, at `scrubBytesPerSecond`, on a thread of its own,
    /// and says where damage is (`Partition.scrub`). Returns when the backend closes; the wiring
    /// runs it beside the server.
    package func runScrubber() async {
        guard options.scrubBytesPerSecond > 0 else { return }
        let thread = WorkerPool(name: "scrubber", limit: 1)
        let ticker = Ticker(name: "scrubbing", every: options.scrubInterval) {
            [scrubbing] in scrubbing.wake()
        }
        while !isClosing {
            if isReady { await thread.value { [self] in scrub() } }
            await scrubbing.wait()
        }
        ticker.stop()
    }

    /// One pass over all partitions. Blocks.
    package func scrub() {
        let topics = state.withLock { state in
            (Array(state.topics.values) + Array(state.internalTopics.values))
                .sorted { $0.name < $1.name }
        }
        for topic in topics {
            for (index, slot) in topic.slots.enumerated() {
                guard !isClosing, case .open(let partition) = slot, partition.failure == nil else {
                    continue
                }
                partition.scrub(pace)
                guard let failure = partition.failure, !isClosing else { continue }
                log.error(
                    "damage: writes are refused, what is before it is served",
                    metadata: [
                        "topic": "\(topic.name)", "partition": "\(index)", "reason": "\(failure)",
                    ])
            }
        }
        state.withLock { $0.scrubPassCount &+= 1 }
    }

    /// Waits as long as so many bytes may take; not at all once the backend closes.
    private func pace(_ byteCount: Int64) {
        guard options.scrubBytesPerSecond > 0, !isClosing else { return }
        var milliseconds = byteCount * 1000 / options.scrubBytesPerSecond
        while milliseconds > 0, !isClosing {
            pauseThread(for: .milliseconds(min(milliseconds, 100)))
            milliseconds -= 100
        }
    }
}
