import JSON

extension Problem {
    /// A body that is not the JSON asked for, with the place.
    init(_ error: JSONError, _ members: [(String, Member)] = []) {
        self.init(
            .invalidJSON,
            "The body is not the JSON that is wanted here, at byte \(error.position): "
                + "\(error.explanation)",
            [("position", .integer(Int64(error.position)))] + members)
    }

    /// A field of a body whose value is not taken; `rule` begins with a verb: "must be …".
    static func field(_ name: String, _ rule: String) -> Problem {
        Problem(.invalidField, "`\(name)` \(rule).", [("field", .string(name))])
    }
}

/// Reads a body that configures something; what goes wrong with its JSON becomes the answer.
func parsing<Value>(_ body: () throws -> Value) throws(Problem) -> Value {
    do {
        return try body()
    } catch let problem as Problem {
        throw problem
    } catch let error as JSONError {
        throw Problem(error)
    } catch {
        throw Problem(.internalError, "\(error)")
    }
}

extension JSONReader {
    /// Calls `member` with the name of each member, in front of its value; a name that stands twice
    /// is refused, as is one that `member` does not take (it returns false).
    mutating func readObject(
        _ kind: String, fields: [String], _ member: (String, inout JSONReader) throws -> Void
    ) throws {
        var seen = Set<String>()
        try beginObject()
        while let token = try nextMember() {
            let name = try text(token)
            guard fields.contains(name) else {
                throw Problem(
                    .unknownField,
                    "\(kind) has no `\(name.prefix(64))`. Its fields: "
                        + "\(fields.joined(separator: ", ")).",
                    [("field", .string(String(name.prefix(64))))])
            }
            guard seen.insert(name).inserted else {
                throw Problem.field(name, "stands twice in one object")
            }
            try member(name, &self)
        }
    }

    /// A whole number in `range`, or the problem that names the field.
    mutating func numberField(_ name: String, _ range: ClosedRange<Int64>) throws -> Int64 {
        let value = try peek() == .number ? try? readInt64() : nil
        guard let value, range.contains(value) else {
            throw Problem.field(
                name, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// A string, or the problem that names the field.
    mutating func stringField(_ name: String) throws -> String {
        guard try peek() == .string else { throw Problem.field(name, "must be a string") }
        return try text(readString())
    }
}
