import Access
import Foundation
import Platform
import Synchronization
import TestSupport

/// An access file in a directory of its own, and the control that reads it.
final class AccessFixture {
    let directory: String
    let path: String
    let time = ManualTime()
    let control: AccessControl

    init(_ lines: [String], quota: Quota = Quota()) async throws {
        directory = NSTemporaryDirectory() + "access-\(UUID().uuidString)"
        path = directory + "/access.json"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        try PrivateFile.replace(path, with: Array(lines.joined(separator: "\n").utf8))
        control = AccessControl(
            path, defaultQuota: quota, time: time, chance: { .random(in: 0...UInt64.max) })
        try await control.load()
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    func replace(_ lines: [String]) throws {
        try PrivateFile.replace(path, with: Array(lines.joined(separator: "\n").utf8))
    }

    /// The grant of a token, or nil.
    func grant(_ token: String) -> Grant? {
        if case .granted(let grant) = control.authenticate(Array(token.utf8)[...], mayVerify: true)
        {
            return grant
        }
        return nil
    }
}

/// A token and its line.
struct MadeToken {
    let text: String
    let line: String

    init(_ principal: String, identifier: UInt64 = 7, expiresAt: Int64? = nil) {
        let token = Token(
            identifier: identifier, chance: (0..<32).map { _ in .random(in: 0...255) })
        text = token.text
        let end = expiresAt.map { ",\"expiresAt\":\($0)" } ?? ""
        line =
            "{\"token\":\"\(Token.name(identifier))\",\"principal\":\"\(principal)\",\"sha256\":"
            + "\"\(token.hash.hex)\",\"createdAt\":0\(end)}"
    }
}

let web = #"{"principal":"web","allow":["topic:orders.*=read"]}"#
