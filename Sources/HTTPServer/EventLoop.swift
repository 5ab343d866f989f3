import Platform
import Synchronization

/// One thread that waits for sockets and runs the tasks of its connections.
///
/// It is the executor of those tasks: a handler that resumes is a job in a queue of this thread, so
/// handlers never hop threads, and what touches a connection needs no lock.
// @unchecked: `thread`, `isAsleep` and `remote` are atomic or locked; all else is touched on the
// loop's own thread only, which `isOnLoop` tells.
final class EventLoop: TaskExecutor, @unchecked Sendable {
    let time: any TimeSource
    /// Read once per turn.
    private(set) var now: Instant
    var timers: TimerWheel
    /// Where `recv` puts bytes before they go to a connection, so that idle connections hold none.
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)

    /// How much of a turn belongs to deadlines, and how much to those that gave way in an earlier
    /// one: thousands at a time, and who needs no more than a moment must not come behind them all.
    private static let turnShare = Duration.microseconds(50)

    private let poller = Poller()
    private var connections: [Connection?] = []
    private var generations: [UInt32] = []
    private var freeSlots: [Int] = []
    private var unflushed: [Connection] = []
    private var flushing: [Connection] = []
    /// What gave way to others until a later turn.
    private var yielded: [() -> Void] = []
    private var ready: [UnownedJob] = []
    private var running: [UnownedJob] = []
    private var dateOfSecond = (
        second: Int64.min, isCurrent: false, text: "", field: [UInt8]()
    )
    private var acceptor: (() -> Void)?

    private let thread = Atomic<UInt>(0)
    private let isAsleep = Atomic<Bool>(false)
    private let remote = Mutex<(jobs: [UnownedJob], calls: [@Sendable () -> Void])>(([], []))
    private let mustStop = Atomic<Bool>(false)

    init(time: any TimeSource) {
        self.time = time
        now = time.now()
        timers = TimerWheel(now: now)
    }

    deinit { scratch.deallocate() }

    func start(_ index: Int) { startThread("loop-\(index)") { self.run() } }

    var isOnLoop: Bool { thread.load(ordering: .relaxed) == currentThread() }

    // MARK: - Hot path

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isOnLoop {
            ready.append(job)
        } else {
            remote.withLock { $0.jobs.append(job) }
            wakeIfAsleep()
        }
    }

    /// Runs `call` on the loop, soon.
    func run(_ call: @escaping @Sendable () -> Void) {
        remote.withLock { $0.calls.append(call) }
        wakeIfAsleep()
    }

    /// One system call for any number of jobs that come while the loop sleeps, none while it is
    /// awake.
    private func wakeIfAsleep() {
        if isAsleep.exchange(false, ordering: .sequentiallyConsistent) { poller.wake() }
    }

    private func run() {
        preferShortTurns()
        thread.store(currentThread(), ordering: .relaxed)
        while !mustStop.load(ordering: .relaxed) {
            waitForEvents()
            runJobs()
            // Before what can wait: an answer that is ready must not.
            flush()
            fireTimers()
            resumeYielded()
        }
        for connection in connections { connection?.close() }
        while !yielded.isEmpty { resumeYielded() }
        runJobs()
        // Another thread may be given this one's name; it is not the loop.
        thread.store(0, ordering: .relaxed)
    }

    private func waitForEvents() {
        isAsleep.store(true, ordering: .sequentiallyConsistent)
        takeRemote()
        let hasWork = !ready.isEmpty || !yielded.isEmpty || !unflushed.isEmpty
        let timeout = hasWork ? 0 : timers.millisecondsUntilNext(now) ?? -1
        let eventCount = poller.wait(milliseconds: timeout)
        // Before anything sets a deadline: the wait may have been long.
        now = time.now()
        dateOfSecond.isCurrent = false
        for index in 0..<eventCount {
            guard let event = poller.event(index) else { continue }
            if event.token == 1 {
                acceptor?()
            } else if let connection = connection(event.token) {
                connection.handle(event)
            }
        }
        isAsleep.store(false, ordering: .sequentiallyConsistent)
        takeRemote()
    }

    /// The jobs and calls of other threads.
    private func takeRemote() {
        let (jobs, calls) = remote.withLock {
            let taken = $0
            $0.jobs.removeAll(keepingCapacity: $0.jobs.isEmpty)
            $0.calls.removeAll()
            return taken
        }
        ready.append(contentsOf: jobs)
        for call in calls { call() }
    }

    /// Lets other connections, timers and new events come first: what could go on without end
    /// without ever waiting calls this now and then.
    func nextTurn() async {
        await withUnsafeContinuation { continuation in afterOthers { continuation.resume() } }
    }

    /// The same for what need not keep a task meanwhile.
    func afterOthers(_ goOn: @escaping () -> Void) { yielded.append(goOn) }

    private func fireTimers() {
        let end = time.now() + Self.turnShare
        repeat {
            let due = timers.expired(now, atMost: 2)
            if due.isEmpty { return }
            for timer in due { TimerWheel.fire(timer) }
            runJobs()
        } while time.now() < end
    }

    private func resumeYielded() {
        guard !yielded.isEmpty else { return }
        let end = time.now() + Self.turnShare
        var resumed = 0
        while resumed < yielded.count, resumed < 256 {
            yielded[resumed]()
            runJobs()
            resumed += 1
            if time.now() >= end { break }
        }
        yielded.removeFirst(resumed)
    }

    /// Some rounds only: jobs that make jobs must not keep events and timers out.
    private func runJobs() {
        for _ in 0..<64 where !ready.isEmpty {
            swap(&ready, &running)
            for job in running { job.runSynchronously(on: asUnownedTaskExecutor()) }
            running.removeAll(keepingCapacity: true)
        }
    }

    /// Answers that are ready together leave in one write for each connection.
    ///
    /// What the jobs it wakes and what comes after it have to send goes out in the next turn, which
    /// does not wait.
    private func flush() {
        guard !unflushed.isEmpty else { return }
        swap(&unflushed, &flushing)
        for connection in flushing { connection.flushQueued() }
        flushing.removeAll(keepingCapacity: true)
        runJobs()
    }

    /// `connection` has bytes to send; they go out at the next `flush`.
    func flushLater(_ connection: Connection) { unflushed.append(connection) }

    /// The `date` field of this second, with its name and line end.
    func dateField() -> [UInt8] {
        readDate()
        return dateOfSecond.field
    }

    /// The value of that field.
    var date: String {
        readDate()
        return dateOfSecond.text
    }

    /// The clock is asked once a turn.
    private func readDate() {
        if dateOfSecond.isCurrent { return }
        dateOfSecond.isCurrent = true
        let second = time.wallMilliseconds() / 1000
        guard second != dateOfSecond.second else { return }
        dateOfSecond.second = second
        dateOfSecond.text = HTTPDate.text(secondsSince1970: second)
        dateOfSecond.field = Array("date: \(dateOfSecond.text)\r\n".utf8)
    }

    // MARK: - Connections

    /// A token names a slot and its generation: events of a connection that is gone do not reach
    /// the one that has its slot or its descriptor now (pitfall 28).
    private func connection(_ token: UInt64) -> Connection? {
        let slot = Int(token & 0xFFFF_FFFF) - 2
        guard slot < connections.count, generations[slot] == UInt32(token >> 32) else { return nil }
        return connections[slot]
    }

    /// Takes a new connection in; false where the kernel refuses to watch it.
    func add(_ connection: Connection, _ descriptor: Int32) -> Bool {
        let slot = freeSlots.popLast() ?? connections.count
        if slot == connections.count {
            connections.append(nil)
            generations.append(0)
        }
        let token = UInt64(generations[slot]) << 32 | UInt64(slot + 2)
        guard poller.add(descriptor, token: token) else {
            freeSlots.append(slot)
            return false
        }
        connections[slot] = connection
        connection.slot = slot
        return true
    }

    func remove(slot: Int) {
        connections[slot] = nil
        generations[slot] &+= 1
        freeSlots.append(slot)
    }

    func forEachConnection(_ body: (Connection) -> Void) {
        for connection in connections { if let connection { body(connection) } }
    }

    // MARK: - Listening

    func listen(_ descriptor: Int32, _ acceptor: @escaping () -> Void) {
        self.acceptor = acceptor
        poller.addListener(descriptor, token: 1)
    }

    func pauseListening(_ descriptor: Int32) { poller.remove(descriptor) }
    func resumeListening(_ descriptor: Int32) { poller.addListener(descriptor, token: 1) }

    func stopListening(_ descriptor: Int32) {
        poller.remove(descriptor)
        acceptor = nil
    }

    func stop() {
        mustStop.store(true, ordering: .relaxed)
        isAsleep.store(false, ordering: .relaxed)
        poller.wake()
    }
}
