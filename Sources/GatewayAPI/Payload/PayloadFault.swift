import JSON

/// What is wrong with a record or an event, and at which byte; where that stands in the request is
/// known to the caller, which makes a `Problem` of it.
package struct PayloadFault: Error {
    package var code: ProblemCode
    /// A sentence, or what follows a colon.
    package var detail: String
    /// Index in the bytes that were parsed.
    package var position: Int
    /// The member it is about.
    package var field: String?
    /// The limit that was passed, in bytes.
    package var limit: Int?

    package init(
        _ code: ProblemCode, _ detail: String, at position: Int, field: String? = nil,
        limit: Int? = nil
    ) {
        self.code = code
        self.detail = detail
        self.position = position
        self.field = field
        self.limit = limit
    }

    /// Text that is no JSON is `invalid-json`; JSON of another kind than wanted is `invalid-field`.
    init(_ error: JSONError, field: String? = nil) {
        switch error.reason {
        case .wrongKind, .notAnInteger, .loneSurrogate:
            self.init(.invalidField, error.explanation, at: error.position, field: field)
        case .unexpectedEnd, .unexpectedByte, .badEscape, .badNumber, .badUTF8, .controlByte,
            .tooDeep, .trailingBytes:
            self.init(.invalidJSON, error.explanation, at: error.position, field: field)
        }
    }

    /// Where in the request the parsed bytes stand.
    package enum Place {
        /// The whole body.
        case body
        /// A record of a batch, counted from 0; positions are of the body.
        case record(Int)
        /// A line of NDJSON, counted from 1, that begins at `start` of the bytes parsed; positions
        /// are of the line.
        case line(Int, start: Int)
    }

    package func problem(_ place: Place) -> Problem {
        let about = field.map { "the member \($0): " } ?? ""
        var members: [(String, Problem.Member)] = []
        var here: String
        switch place {
        case .body:
            here = "At byte \(position) of the body"
            members.append(("position", .integer(Int64(position))))
        case .record(let index):
            here = "In record \(index), at byte \(position) of the body"
            members.append(("recordIndex", .integer(Int64(index))))
            members.append(("position", .integer(Int64(position))))
        case .line(let line, let start):
            here = "In line \(line), at its byte \(position - start)"
            members.append(("line", .integer(Int64(line))))
            members.append(("position", .integer(Int64(position - start))))
        }
        here += ": \(about)\(detail)"
        if let field { members.append(("field", .string(field))) }
        if let limit { members.append(("limit", .integer(Int64(limit)))) }
        return Problem(code, here, members)
    }
}

/// `JSONReader`'s calls as those who read records and events use them.
extension JSONReader {
    mutating func openObject(_ field: String? = nil) throws(PayloadFault) {
        do throws(JSONError) { try beginObject() } catch { throw wanted("an object", error, field) }
    }

    mutating func openArray(_ field: String? = nil) throws(PayloadFault) {
        do throws(JSONError) { try beginArray() } catch { throw wanted("an array", error, field) }
    }

    mutating func takeMember() throws(PayloadFault) -> JSONString? {
        do throws(JSONError) { return try nextMember() } catch { throw PayloadFault(error) }
    }

    mutating func takeElement() throws(PayloadFault) -> Bool {
        do throws(JSONError) { return try nextElement() } catch { throw PayloadFault(error) }
    }

    mutating func peekKind(_ field: String? = nil) throws(PayloadFault) -> JSONKind {
        do throws(JSONError) { return try peek() } catch { throw PayloadFault(error, field: field) }
    }

    mutating func takeString(_ field: String) throws(PayloadFault) -> JSONString {
        do throws(JSONError) { return try readString() } catch {
            throw wanted("a string", error, field)
        }
    }

    mutating func takeInteger(_ field: String) throws(PayloadFault) -> Int64 {
        do throws(JSONError) { return try readInt64() } catch {
            throw wanted("a whole number of 64 bits", error, field)
        }
    }

    mutating func takeValue(_ field: String? = nil) throws(PayloadFault) -> Range<Int> {
        do throws(JSONError) { return try skipValue() } catch {
            throw PayloadFault(error, field: field)
        }
    }

    mutating func takeEnd() throws(PayloadFault) {
        do throws(JSONError) { try end() } catch { throw PayloadFault(error) }
    }

    func unescaped(_ string: JSONString, _ field: String?) throws(PayloadFault) -> [UInt8] {
        do throws(JSONError) { return try decode(string) } catch {
            throw PayloadFault(error, field: field)
        }
    }

    private func wanted(_ kind: String, _ error: JSONError, _ field: String?) -> PayloadFault {
        var fault = PayloadFault(error, field: field)
        if error.reason == .wrongKind || error.reason == .notAnInteger {
            fault.detail = "\(kind) is wanted here."
        }
        return fault
    }
}
