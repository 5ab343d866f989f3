/// The name of a consumer group: 1 to 249 of the characters a topic's name may have.
package struct GroupID: Hashable, Sendable {
    package let name: String

    /// nil where the name is empty, too long, or has another character.
    package init?(_ name: String) {
        let bytes = name.utf8
        guard (1...Limits.groupNameBytes).contains(bytes.count) else { return nil }
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "-"):
                continue
            default: return nil
            }
        }
        guard name != ".", name != ".." else { return nil }
        self.name = name
    }
}
