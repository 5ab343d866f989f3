import CPlatform
import Glibc

/// Names the calling thread: the same number on the same thread, another on any other that lives.
package func currentThread() -> UInt { UInt(pthread_self()) }

/// Processors that this process may run on, at least 1: a container or `taskset` leaves it some of
/// the machine's.
package func coreCount() -> Int { max(1, Int(millrace_core_count())) }

/// Has malloc keep an arena for each core and not eight, before threads are started, and in each of
/// them up to 8 MiB that nothing uses. Left alone it gives back all but 128 KiB, and half of the
/// time that a page of 1,000 records takes goes to having the memory zeroed again; or, once large
/// answers were made, up to 64 MiB stay in each for good.
package func setUpMemory() {
    millrace_set_up_malloc(Int32(clamping: coreCount()), 8 << 20)
}

/// Asks for the processor in turns of 0.1 ms for the calling thread, an event loop: it gets no more
/// of it, but beside others that have much to do it gets it sooner, from Linux 6.12 on.
package func preferShortTurns() { _ = millrace_set_turns(100_000) }

/// Keeps the calling thread, a worker and never an event loop, from running for a while.
package func pauseThread(for duration: Duration) {
    let (seconds, attoseconds) = duration.components
    var time = timespec(
        tv_sec: Int(max(0, seconds)), tv_nsec: Int(max(0, attoseconds / 1_000_000_000)))
    nanosleep(&time, nil)
}

/// Starts an operating-system thread that runs `body` and ends with it.
///
/// For event loops and workers that block in system calls; nothing in the product uses Dispatch or
/// Swift's cooperative pool. `name` shows in `top -H`; Linux keeps 15 bytes of it.
package func startThread(_ name: String, _ body: @escaping @Sendable () -> Void) {
    final class Start {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
    let start = Unmanaged.passRetained(Start(name: name, body: body))
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    defer { pthread_attr_destroy(&attributes) }
    var thread = pthread_t()
    let status = pthread_create(
        &thread, &attributes,
        { argument in
            let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
            millrace_name_thread(start.name)
            // Linux gives a thread those of the one that starts it.
            _ = millrace_set_turns(0)
            start.body()
            return nil
        }, start.toOpaque())
    precondition(status == 0, "pthread_create: \(status)")
}
