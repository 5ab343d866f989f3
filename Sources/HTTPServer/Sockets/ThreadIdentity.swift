import Glibc

/// Which thread runs, and how many can run at a time.
enum ThreadIdentity {
    /// The calling thread's; never 0.
    @inline(__always)
    static var current: UInt { UInt(pthread_self()) }

    static var processorCount: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
}
