/// Limits of the reader.
package enum Limits {
    /// Arrays and objects within each other; deeper texts are refused (RFC 8259 §9).
    package static let depth = 512
}
