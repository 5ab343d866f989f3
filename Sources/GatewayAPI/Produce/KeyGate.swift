import Platform
import Synchronization

/// Lets in one try of an `Idempotency-Key` of a topic at a time, in the order they come.
final class KeyGate: Sendable {
    struct Place: Hashable {
        var topicID: String
        var key: Int64
    }

    /// Who is in, with those who wait behind.
    private let places = Mutex<[Place: [Suspension]]>([:])

    /// Returns when this try may go on; `leave` must follow.
    func enter(_ place: Place) async {
        _ = await Suspension.wait { suspension in
            let mustWait = places.withLock { places in
                guard places[place] != nil else {
                    places[place] = []
                    return false
                }
                places[place]?.append(suspension)
                return true
            }
            if !mustWait { suspension.resume(true) }
        }
    }

    func leave(_ place: Place) {
        let next: Suspension? = places.withLock { places in
            guard places[place]?.isEmpty == false else {
                places[place] = nil
                return nil
            }
            return places[place]?.removeFirst()
        }
        next?.resume(true)
    }
}
