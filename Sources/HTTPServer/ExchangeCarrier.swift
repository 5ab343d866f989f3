import Platform

/// What carries an exchange: a connection that speaks HTTP/1.1, or a stream of HTTP/2. Each verb is
/// described at `Exchange`.
protocol ExchangeCarrier: AnyObject {
    var server: Server { get }
    var loop: EventLoop { get }
    var peer: String { get }
    var clientIsGone: Bool { get }
    var declaredBodyLength: Int? { get }

    func nextBodyBytes() async throws(BodyError) -> [UInt8]?
    func respond(_ response: Response)
    func startStream(_ response: Response)
    func write(_ bytes: [UInt8]) async throws(StreamError)
    /// Ends the stream behind `last`, which may be empty.
    func finish(_ last: [UInt8])
    func arm(_ wakeup: Wakeup, until deadline: Instant?)
    func disarm()
    var mustEndSoon: Bool { get }
    /// Other answers wait on the same connection, or are being made, as much as may.
    var isFull: Bool { get }
    /// Adds what an answer that is being made may come to, and takes it off when it is made.
    func countAnswer(_ byteCount: Int)
    func ender() -> @Sendable () -> Void
    /// Who sent a request with this head.
    func clientAddress(_ head: RequestHead) -> Address
}

/// The wakeup of a handler that waits, and its deadline.
final class ArmedWakeup {
    private let loop: EventLoop
    private var wakeup: Wakeup?
    private lazy var timer = WheelTimer { [unowned self] in wake() }

    init(_ loop: EventLoop) { self.loop = loop }

    /// `isDue`: what it waits for has happened already, and is not told a second time.
    func arm(_ wakeup: Wakeup, until deadline: Instant?, isDue: Bool) {
        self.wakeup = wakeup
        if isDue { wakeup.wake() }
        if let deadline {
            loop.timers.arm(timer, at: deadline)
        } else {
            loop.timers.cancel(timer)
        }
    }

    func disarm() {
        guard wakeup != nil else { return }
        wakeup = nil
        loop.timers.cancel(timer)
    }

    func wake() { wakeup?.wake() }
}

/// The least rate of a body, over the time its handler has waited for it. That time adds up over
/// the reads, so that a byte now and then does not buy a whole period.
struct BodyRate {
    private var waited = Duration.zero
    private var byteCountAtCheck = 0

    /// How long the next read may take.
    func patience(_ limits: Limits) -> Duration { limits.bodyGrace - waited }

    /// Counts a read that took `duration` to `byteCount` bytes of the body in all; true where the
    /// period is over and brought too few.
    mutating func isTooSlow(_ duration: Duration, at byteCount: Int, _ limits: Limits) -> Bool {
        waited += duration
        guard waited >= limits.bodyGrace else { return false }
        let came = byteCount - byteCountAtCheck
        byteCountAtCheck = byteCount
        waited = .zero
        let wanted = Int64(limits.bodyRate) * max(1, limits.bodyGrace.wholeMilliseconds) / 1000
        return Int64(came) < wanted
    }
}
