import Access

/// A file that is taken is taken again as it is written, also with a token as `millrace token`
/// writes it, and without that token byte for byte as before.
@Sendable
func checkAccessFile(_ bytes: [UInt8]) throws(Contradiction) {
    guard let file = try? AccessFile(bytes) else { return }
    try checkSame(file, try read(file.bytes))
    guard let principal = file.principals.first else { return }
    let token = Token(identifier: 7, chance: [UInt8](repeating: 9, count: 32))
    var changed = file
    let line = AccessFile.TokenLine(
        identifier: token.identifier, principal: principal.name, hash: token.hash, createdAt: 1,
        expiresAt: 2, note: "é\"\n")
    if file.tokens.contains(where: { $0.identifier == line.identifier }) { return }
    do throws(AccessError) { try changed.add(line) } catch {
        throw Contradiction(description: "its own line is refused: \(error.reason)")
    }
    try checkSame(changed, try read(changed.bytes))
    try claim(changed.removeToken(line.identifier), "the token that was added is not there")
    try claim(changed.bytes == file.bytes, "other bytes without the token that was added")
}

private func read(_ bytes: [UInt8]) throws(Contradiction) -> AccessFile {
    do throws(AccessError) { return try AccessFile(bytes) } catch {
        throw Contradiction(description: "not taken again: \(error.reason)")
    }
}

private func checkSame(_ left: AccessFile, _ right: AccessFile) throws(Contradiction) {
    try claim(left.webTokens == right.webTokens, "another `jwt` line")
    try claim(left.bytes == right.bytes, "other bytes")
    try claim(
        left.principals.map(\.name) == right.principals.map(\.name)
            && left.principals.map(\.rules) == right.principals.map(\.rules)
            && left.principals.map(\.quota) == right.principals.map(\.quota), "other principals")
    try claim(
        left.tokens.map(\.identifier) == right.tokens.map(\.identifier)
            && left.tokens.map(\.hash) == right.tokens.map(\.hash)
            && left.tokens.map(\.principal) == right.tokens.map(\.principal)
            && left.tokens.map(\.expiresAt) == right.tokens.map(\.expiresAt)
            && left.tokens.map(\.note) == right.tokens.map(\.note), "other tokens")
    for rule in left.principals.flatMap({ $0.rules.allow + $0.rules.deny }) {
        try claim((try? Rule(rule.text)) == rule, "\(rule.text) is another rule")
    }
}

private let webTokens: AccessFile.WebTokens? = {
    let line = #"{"jwt":{"keys":"k","issuer":"i","audience":"a","rulesClaim":"millrace"}}"#
    return (try? AccessFile(Array(line.utf8)))?.webTokens
}()

/// A JSON Web Token that is taken apart has one text only.
@Sendable
func checkWebToken(_ bytes: [UInt8]) throws(Contradiction) {
    guard let settings = webTokens, WebToken(bytes[...], settings) != nil else { return }
    try claim(WebToken.isMeant(by: bytes[...]), "taken, though it is not meant as one")
    for index in bytes.indices where bytes[index] != UInt8(ascii: ".") {
        var longer = bytes
        longer.insert(UInt8(ascii: "="), at: index)
        try claim(WebToken(longer[...], settings) == nil, "taken with padding at \(index)")
    }
}
