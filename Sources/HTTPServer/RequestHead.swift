/// A parsed request line and its header fields: offsets into `bytes`, which holds just this head.
package struct RequestHead {
    package var bytes: [UInt8] = []
    package var method = Method.get
    /// The target's path as it came, percent-encoded, beginning with `/`.
    package var path: Range<Int> = 0..<0
    /// The target's query without `?`; nil when there is no `?`.
    package var query: Range<Int>?

    /// The value of a field, without surrounding white space; nil when absent. Where a field that
    /// may stand only once came twice, the server has refused the request already; of those that
    /// are lists (`accept`), this is the first line and `count(of:)` tells of more.
    package func value(of name: FieldName) -> Range<Int>? { fatalError() }
    package func count(of name: FieldName) -> Int { fatalError() }

    /// Calls `body` with each field that has no `FieldName`, and those that have, in order:
    /// lower-case name and value as ranges of `bytes`. For CloudEvents `ce-*` and trace context.
    package func forEachField(_ body: (_ name: Range<Int>, _ value: Range<Int>) -> Void) { fatalError() }
}
