/// Limits of the reader.
package enum Limits {
    /// Arrays and objects within each other in a value taken whole; deeper ones are refused (RFC
    /// 8259 §9). Levels that the caller opens itself do not count: a record's value has the same
    /// verdict in a batch, on a line of its own and as a raw body, and what was read can be written
    /// back.
    package static let depth = 512
}
