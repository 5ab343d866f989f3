import Platform
import Synchronization
import Testing

struct WorkerPoolTests {
    @Test(arguments: [1, 3])
    func `every job runs, and on as many threads as there may be`(limit: Int) async {
        let pool = WorkerPool(name: "test", limit: limit)
        let (running, most, left) = (Tally(0), Tally(0), Tally(5000))
        let done = Wakeup()
        for _ in 0..<5000 {
            pool.run {
                let now = running.value.add(1, ordering: .relaxed).newValue
                most.value.max(now, ordering: .relaxed)
                running.value.subtract(1, ordering: .relaxed)
                if left.value.subtract(1, ordering: .relaxed).newValue == 0 { done.wake() }
            }
        }
        await done.wait()
        #expect(most.value.load(ordering: .relaxed) <= limit)
    }

    @Test func `one thread runs jobs in the order they came`() async {
        let pool = WorkerPool(name: "test", limit: 1)
        let order = Order()
        for index in 0..<3000 { pool.run { order.jobs.withLock { $0.append(index) } } }
        let seen = await pool.value { order.jobs.withLock { $0 } }
        #expect(seen == Array(0..<3000))
    }

    @Test func `deferred jobs run, also those that come while others are passed on`() async {
        let pool = WorkerPool(name: "test", limit: 2)
        for round in 0..<5 {
            let left = Tally(100)
            let done = Wakeup()
            for _ in 0..<100 {
                pool.runSoon {
                    if left.value.subtract(1, ordering: .relaxed).newValue == 0 { done.wake() }
                }
            }
            await done.wait()
            #expect(left.value.load(ordering: .relaxed) == 0, "round \(round)")
        }
    }

    @Test func `without threads jobs wait until they are asked for`() async {
        let pool = WorkerPool(name: "test", limit: 0)
        let count = Tally(0)
        pool.run {
            count.value.add(1, ordering: .relaxed)
            pool.runSoon { count.value.add(1, ordering: .relaxed) }
        }
        #expect(count.value.load(ordering: .relaxed) == 0)
        #expect(await pool.value { 7 } == 7)
        pool.runPending()
        #expect(count.value.load(ordering: .relaxed) == 2)
    }
}

private final class Tally: Sendable {
    let value: Atomic<Int>
    init(_ value: Int) { self.value = Atomic(value) }
}

private final class Order: Sendable {
    let jobs = Mutex<[Int]>([])
}
