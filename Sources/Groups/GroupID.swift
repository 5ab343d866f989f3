/// The name of a consumer group: 1 to 249 of the characters a topic's name may have.
package struct GroupID: Hashable, Sendable {
    package let name: String

    /// nil where the name is empty, too long, or has another character.
    package init?(_ name: String) {
        guard isName(name) else { return nil }
        self.name = name
    }
}

/// The name of a member within its group, chosen by the client or made up by the server.
package struct MemberID: Hashable, Comparable, Sendable {
    package let name: String

    /// nil where the name is empty, too long, or has another character than a topic's name may.
    package init?(_ name: String) {
        guard isName(name) else { return nil }
        self.name = name
    }

    package static func < (left: MemberID, right: MemberID) -> Bool { left.name < right.name }
}

private func isName(_ name: String) -> Bool {
    let bytes = name.utf8
    guard (1...Limits.nameBytes).contains(bytes.count), name != ".", name != ".." else {
        return false
    }
    return bytes.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
