/// One suspended task, to be resumed exactly once with a Bool.
///
/// For rooms without `unsafe`; it costs no allocation, where a checked continuation costs one.
package struct Suspension: Sendable {
    private let continuation: UnsafeContinuation<Bool, Never>

    /// Suspends the caller, hands itself to `body`, and returns what it is resumed with.
    package static func wait(_ body: (Suspension) -> Void) async -> Bool {
        await withUnsafeContinuation { body(Suspension(continuation: $0)) }
    }

    private init(continuation: UnsafeContinuation<Bool, Never>) { self.continuation = continuation }

    package func resume(_ value: Bool) { continuation.resume(returning: value) }
}
