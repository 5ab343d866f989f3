/// A record's place in its partition: 0 for the first, never reused.
package struct Offset: Comparable, Hashable, Sendable {
    package var value: Int64

    @inlinable
    package init(_ value: Int64) { self.value = value }

    @inlinable
    package static func < (left: Offset, right: Offset) -> Bool { left.value < right.value }

    /// The offset behind this one.
    @inlinable
    package var next: Offset { Offset(value &+ 1) }

    /// Wraps on purpose: offsets from a disk or a client must not trap. Callers bound them first.
    @inlinable
    package static func + (offset: Offset, count: Int) -> Offset {
        Offset(offset.value &+ Int64(count))
    }
}
