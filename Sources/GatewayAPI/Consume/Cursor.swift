package import Backends
import Platform

/// A reading position over partitions: `0:17,1:44`, over several topics `orders/0:17,audit/0:3`.
/// Each number is the offset of the first record not yet read (the next offset).
///
/// Cursors the server gives end in `~` and, of each topic's UUID, the first eight hex digits, with
/// `.` between, in the order in which the topics first stand in it: so one of a deleted and
/// re-created topic is not taken for a place in the new one. Clients may write cursors, and leave
/// that out.
package struct Cursor: Equatable, Sendable {
    package struct Entry: Equatable, Sendable {
        /// nil where the cursor belongs to one topic only.
        package var topic: String?
        package var partition: Int
        package var next: Offset
    }

    package var entries: [Entry] = []
    /// First eight hex digits of UUIDs, lower case: none at all, or one of each topic.
    package var tags: [String] = []

    package init(entries: [Entry] = [], tags: [String] = []) {
        self.entries = entries
        self.tags = tags
    }

    /// The tag of each topic; a cursor of one topic may leave its name out, which is "" here.
    var tagsOfTopics: [String: String] {
        var found: [String: String] = [:]
        guard !tags.isEmpty else { return found }
        for entry in entries {
            let topic = entry.topic ?? ""
            if found[topic] == nil { found[topic] = tags[found.count] }
        }
        return found
    }

    /// Reads a cursor; throws `invalid-cursor`. The empty text is the empty cursor.
    package init(parsing text: String) throws(Problem) {
        var body = text.utf8[...]
        if let tilde = body.lastIndex(of: UInt8(ascii: "~")) {
            for tag in body[body.index(after: tilde)...].split(
                separator: UInt8(ascii: "."), maxSplits: Limits.cursorEntries,
                omittingEmptySubsequences: false)
            {
                tags.append(try Self.parseTag(tag))
            }
            body = body[..<tilde]
        }
        if !body.isEmpty { try parseEntries(body) }
        guard tags.isEmpty || tags.count == max(1, Set(entries.map(\.topic)).count) else {
            throw Self.invalid("behind `~` stand eight hex digits of each topic, or nothing")
        }
    }

    private mutating func parseEntries(_ body: Substring.UTF8View) throws(Problem) {
        for part in body.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            guard entries.count < Limits.cursorEntries else {
                throw Self.invalid("it has more than \(Limits.cursorEntries) entries")
            }
            entries.append(try Self.parseEntry(part))
        }
        // Those the server gives are sorted.
        let isAscending = zip(entries, entries.dropFirst()).allSatisfy {
            ($0.topic ?? "", $0.partition) < ($1.topic ?? "", $1.partition)
        }
        if isAscending { return }
        var seen: Set<String> = []
        for entry in entries where !seen.insert("\(entry.topic ?? "")/\(entry.partition)").inserted
        {
            throw Self.invalid("partition \(entry.partition) stands in it twice")
        }
    }

    private static func parseTag(_ text: Substring.UTF8View) throws(Problem) -> String {
        let isHex = text.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        guard text.count == 8, isHex else {
            throw invalid("`~` must be followed by eight lower-case hex digits, or left out")
        }
        return String(Substring(text))
    }

    private static func parseEntry(_ text: Substring.UTF8View) throws(Problem) -> Entry {
        var rest = text
        var topic: String?
        if let slash = rest.lastIndex(of: UInt8(ascii: "/")) {
            topic = String(Substring(rest[..<slash]))
            rest = rest[rest.index(after: slash)...]
        }
        let halves = rest.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard halves.count == 2, let partition = number(halves[0]), let next = number(halves[1]),
            partition <= Int64(Int32.max)
        else {
            throw invalid(
                "an entry is `partition:nextOffset`, decimal digits only, such as `0:17`")
        }
        return Entry(topic: topic, partition: Int(partition), next: Offset(next))
    }

    /// Digits only: `Int64.init` alone would take a sign.
    private static func number(_ text: Substring.UTF8View) -> Int64? {
        guard !text.isEmpty, text.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int64(Substring(text))
    }

    private static func invalid(_ why: String) -> Problem {
        Problem(
            .invalidCursor,
            "The cursor cannot be read: \(why). Use the cursor of the last answer as it came.")
    }

    /// The cursor as text, appended where it is needed.
    package func write(to bytes: inout [UInt8]) {
        for (index, entry) in entries.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            if let topic = entry.topic {
                bytes.append(contentsOf: topic.utf8)
                bytes.append(UInt8(ascii: "/"))
            }
            bytes.appendDecimal(Int64(entry.partition))
            bytes.append(UInt8(ascii: ":"))
            bytes.appendDecimal(entry.next.value)
        }
        for (index, tag) in tags.enumerated() {
            bytes.append(UInt8(ascii: index == 0 ? "~" : "."))
            bytes.append(contentsOf: tag.utf8)
        }
    }

    package var text: String {
        var bytes: [UInt8] = []
        write(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
