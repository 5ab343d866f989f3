/// What a program does with requests. `handle` runs on the event loop of its connection and must
/// never block: it waits only with `await`. It returns when the response is complete.
///
/// One call at a time per connection (HTTP/1.1) or stream (HTTP/2); pipelined requests wait their
/// turn.
package protocol RequestHandler: Sendable {
    func handle(_ exchange: Exchange) async
}

/// Told of every exchange that ended, on its event loop: an access log. Also of heads the server
/// refused itself: their method is GET and their path empty where it did not come to them.
package protocol ExchangeObserver: Sendable {
    func exchangeEnded(_ exchange: Exchange)
}
