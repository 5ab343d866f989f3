import Backends
import TestSupport
import Testing

struct TopicMetadataTests {
    private func sample() -> TopicMetadata {
        var configuration = TopicConfiguration()
        configuration.retentionBytes = 1 << 40
        return TopicMetadata(
            name: "orders", topicID: "01234567-89ab-4def-bedc-ba9876543210", partitionCount: 6,
            configuration: configuration)
    }

    @Test
    func `a topic's file stands as the design draws it`() throws {
        let text = String(decoding: sample().encoded(), as: UTF8.self)
        let expected =
            #"{"name":"orders","topicId":"01234567-89ab-4def-bedc-ba9876543210","partitions":6,"#
            + #""configuration":{"retentionMs":604800000,"retentionBytes":1099511627776,"#
            + #""cleanupPolicy":"delete","segmentBytes":268435456,"maxRecordBytes":1048576,"#
            + #""replicationFactor":1,"minInsyncReplicas":1,"deleteRetentionMs":86400000,"#
            + #""compressionType":"none"},"checksum":""#
        #expect(text.hasPrefix(expected))
        #expect(text.utf8.count == expected.utf8.count + 11)
        #expect(try TopicMetadata(decoding: sample().encoded()) == sample())
    }

    @Test
    func `a file edited by hand leaves the checksum out`() throws {
        var text = String(decoding: sample().encoded(), as: UTF8.self)
        // `,"checksum":"01234567"}` and a line feed.
        text = text.dropLast(24) + " }"
        text.replace("604800000", with: "1000")
        let metadata = try TopicMetadata(decoding: Array(text.utf8))
        #expect(metadata.configuration.retentionMs == 1000)
    }

    /// Fault 27: a directory of the first release.
    @Test
    func `a file from before a member was there says what that program did`() throws {
        let text = String(decoding: sample().encoded(), as: UTF8.self).dropLast(24)
            .replacing(#","deleteRetentionMs":86400000,"compressionType":"none""#, with: "")
        #expect(!text.contains("compressionType"))
        #expect(try TopicMetadata(decoding: Array((text + "}").utf8)) == sample())
        let without = text.replacing(#""segmentBytes":268435456,"#, with: "")
        #expect(throws: MetadataError.self) {
            try TopicMetadata(decoding: Array((without + "}").utf8))
        }
    }

    /// Goal R5: every bit.
    @Test
    func `a flipped bit is found, and never another limit`() throws {
        let bytes = sample().encoded()
        for index in bytes.indices {
            for bit in 0..<8 {
                var flipped = bytes
                flipped[index] ^= 1 << UInt8(bit)
                if let read = try? TopicMetadata(decoding: flipped) { #expect(read == sample()) }
            }
        }
    }

    /// Pitfall 5: a torn write.
    @Test
    func `a file cut at any byte is damaged`() {
        let bytes = sample().encoded()
        for length in 0..<bytes.count - 1 {
            #expect(throws: MetadataError.self) {
                try TopicMetadata(decoding: Array(bytes.prefix(length)))
            }
        }
    }

    /// Pitfall 51: whatever a disk gives back, the process lives.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `no bytes trap`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<200 {
            var bytes = sample().encoded()
            // Without a checksum, so that changes reach the fields.
            if Bool.random(using: &random) { bytes = bytes.dropLast(24) + [UInt8(ascii: "}")] }
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.insert(UInt8.random(in: 48...57, using: &random), at: index)
                default: bytes.removeSubrange(index..<min(index + 3, bytes.count - 1))
                }
            }
            if let read = try? TopicMetadata(decoding: bytes) {
                #expect((1...Limits.partitionsPerTopic).contains(read.partitionCount))
                #expect(Limits.segmentBytes.contains(read.configuration.segmentBytes))
            }
        }
    }

    @Test(arguments: [
        "null", "[]", "{}", "{\"name\":1}", "{\"name\":\"a\",\"name\":\"a\"}",
        #"{"name":"../a","topicId":"01234567-89ab-4def-bedc-ba9876543210","partitions":6,"configuration":{}}"#,
        String(repeating: "[", count: 60_000),
    ])
    func `other texts are damaged`(text: String) {
        #expect(throws: MetadataError.self) { try TopicMetadata(decoding: Array(text.utf8)) }
    }
}
