import Platform
import Testing

struct TickerTests {
    @Test
    func `a ticker calls until it is stopped`() async {
        let wakeup = Wakeup()
        let ticker = Ticker(name: "tick", every: .milliseconds(1)) { wakeup.wake() }
        await wakeup.wait()
        await wakeup.wait()
        ticker.stop()
    }
}
