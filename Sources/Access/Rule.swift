/// One line of what is allowed or denied: `topic:orders.*=read,write`, `group:billing=join,commit`,
/// `server=metrics`. A `*` stands at the end of a name only, for any rest; `all` stands for every
/// operation the resource has.
package struct Rule: Equatable, Sendable {
    package var resource: Resource
    /// The name, or what it begins with; empty for the server.
    package var name: [UInt8]
    package var isPrefix: Bool
    package var operations: Operations

    /// Throws, saying what is wrong and how it should look.
    package init(_ text: String) throws(AccessError) {
        func refusal(_ reason: String) -> AccessError {
            AccessError("the rule \(quoted(text)) \(reason)")
        }
        let sides = text.utf8.split(
            separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
        guard sides.count == 2 else {
            throw refusal("has no `=`; write it like topic:orders.*=read,write")
        }
        let place = sides[0].split(
            separator: UInt8(ascii: ":"), maxSplits: 1, omittingEmptySubsequences: false)
        guard let resource = Resource(rawValue: String(Substring(place[0]))) else {
            throw refusal("must begin with topic:, group: or server")
        }
        self.resource = resource
        guard (place.count == 1) == (resource == .server) else {
            throw refusal(
                resource == .server
                    ? "must name no server: write server=metrics"
                    : "must name a \(resource.rawValue): write \(resource.rawValue):NAME=…")
        }
        var name = place.count == 2 ? Array(place[1]) : []
        isPrefix = name.last == UInt8(ascii: "*")
        if isPrefix { name.removeLast() }
        guard resource == .server || isPrefix || !name.isEmpty, name.count <= 249,
            name.allSatisfy(isNameByte)
        else {
            throw refusal("must name letters, digits, `.`, `_`, `-`, and `*` at the end only")
        }
        self.name = name
        operations = []
        for word in sides[1].split(
            separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        {
            let word = String(Substring(word))
            let named = Operations.names.first { $0.name == word }?.operation
            let operation = word == "all" ? resource.operations : named ?? []
            guard !operation.isEmpty, resource.operations.isSuperset(of: operation) else {
                throw refusal(
                    "names an operation that a \(resource.rawValue) does not have; it has "
                        + "\(resource.operations.text) and all")
            }
            operations.formUnion(operation)
        }
    }

    package var text: String {
        let star = isPrefix ? "*" : ""
        let place = resource == .server ? "" : ":\(String(decoding: name, as: UTF8.self))\(star)"
        let words =
            operations == resource.operations && resource != .server
            ? "all" : operations.text
        return "\(resource.rawValue)\(place)=\(words)"
    }

    func covers(_ resource: Resource, _ name: Span<UInt8>) -> Bool {
        guard self.resource == resource else { return false }
        let count = self.name.count
        guard isPrefix ? name.count >= count : name.count == count else { return false }
        for index in 0..<count where self.name[index] != name[index] { return false }
        return true
    }
}

/// What a principal may do: what some rule allows and no rule denies.
package struct Rules: Equatable, Sendable {
    package var allow: [Rule]
    package var deny: [Rule]

    package init(allow: [Rule] = [], deny: [Rule] = []) {
        self.allow = allow
        self.deny = deny
    }

    /// Everything that is allowed on the resource of this name; empty: it may not even be seen.
    package func operations(on resource: Resource, _ name: String = "") -> Operations {
        let name = name.utf8.span
        var allowed = Operations()
        for rule in allow where rule.covers(resource, name) {
            allowed.formUnion(rule.operations)
        }
        if allowed.isEmpty { return allowed }
        for rule in deny where rule.covers(resource, name) {
            allowed.subtract(rule.operations)
        }
        return allowed
    }
}

/// Why an access file, a rule or a key set cannot be taken; and what to do.
package struct AccessError: Error, Equatable {
    package var reason: String

    package init(_ reason: String) { self.reason = reason }
}

/// Text from outside within a message: cut, and without control bytes.
func quoted(_ text: String) -> String {
    let shown = text.unicodeScalars.prefix(80).map { $0.value < 0x20 || $0 == "\u{7F}" ? "?" : $0 }
    return "`" + String(String.UnicodeScalarView(shown)) + "`"
}

/// The bytes of topic and group names: `[A-Za-z0-9._-]`.
func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "-"):
        true
    default: false
    }
}
