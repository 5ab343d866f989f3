import CPlatform
import Glibc

/// An epoll instance, edge-triggered, with an eventfd by which other threads end its wait.
final class Poller {
    struct Event {
        /// What the descriptor was registered under; 0 is the poller's own wake-up.
        var token: UInt64
        var isReadable: Bool
        var isWritable: Bool
        /// The peer ended its sending side, or the connection broke.
        var isEnded: Bool
        var isBroken: Bool
    }

    private let descriptor: Int32
    private let wakeDescriptor: Int32
    /// Few at a time: answers leave when all of them are handled.
    private var buffer = [epoll_event](repeating: epoll_event(), count: 64)

    init() {
        descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        wakeDescriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        precondition(descriptor >= 0 && wakeDescriptor >= 0, "no descriptors left at the start")
        var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(u64: 0))
        epoll_ctl(descriptor, EPOLL_CTL_ADD, wakeDescriptor, &event)
    }

    /// False where the kernel has no memory for it.
    func add(_ connection: Int32, token: UInt64) -> Bool {
        let events =
            EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | UInt32(bitPattern: 1 << 31)
        var event = epoll_event(events: events, data: epoll_data_t(u64: token))
        return epoll_ctl(descriptor, EPOLL_CTL_ADD, connection, &event) == 0
    }

    /// Level-triggered, for a listening socket.
    func addListener(_ listener: Int32, token: UInt64) {
        var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(u64: token))
        epoll_ctl(descriptor, EPOLL_CTL_ADD, listener, &event)
    }

    func remove(_ registered: Int32) {
        epoll_ctl(descriptor, EPOLL_CTL_DEL, registered, nil)
    }

    /// Ends the present or next `wait`. Any thread.
    func wake() {
        var one: UInt64 = 1
        _ = write(wakeDescriptor, &one, 8)
    }

    /// Waits for events, `milliseconds` at most, -1 without end; returns how many there are.
    func wait(milliseconds: Int32) -> Int {
        max(0, Int(epoll_wait(descriptor, &buffer, Int32(buffer.count), milliseconds)))
    }

    /// One of the events of the last `wait`; nil for the wake-up.
    func event(_ index: Int) -> Event? {
        let events = buffer[index].events
        let token = buffer[index].data.u64
        if token == 0 {
            var value: UInt64 = 0
            _ = read(wakeDescriptor, &value, 8)
            return nil
        }
        let isBroken = events & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0
        return Event(
            token: token, isReadable: events & EPOLLIN.rawValue != 0,
            isWritable: events & EPOLLOUT.rawValue != 0,
            isEnded: isBroken || events & EPOLLRDHUP.rawValue != 0, isBroken: isBroken)
    }

    // Not when the loop ends: a thread that still wants to wake it would write into whatever has
    // the descriptor's number by then (pitfall 28).
    deinit {
        close(descriptor)
        close(wakeDescriptor)
    }
}
