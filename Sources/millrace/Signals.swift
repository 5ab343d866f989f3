import Glibc

/// SIGTERM and SIGINT as something to wait for: the first begins a drain, the second ends the
/// process at once. SIGHUP has the access file read again.
enum Signals {
    enum Signal { case end, reload }

    /// Call before any other thread starts: threads inherit the mask that keeps the signals for
    /// `wait`.
    static func block() {
        var set = Self.set()
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
    }

    /// Returns at the next signal.
    static func wait() -> Signal {
        var set = Self.set()
        var received: Int32 = 0
        while sigwait(&set, &received) != 0 {}
        return received == SIGHUP ? .reload : .end
    }

    private static func set() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGHUP)
        return set
    }
}
