import Foundation
import LogEngine
import Platform
import TestSupport
import Testing

/// The vectors of testdata/kafka-batches: 15 good segment files of other programs, 10 damaged ones.
private enum Vectors {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(
        path: "Vectors")

    static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: folder.appending(path: name)))
    }

    static func names(_ prefix: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path()).sorted()
            .filter { $0.hasSuffix(".log") && $0.hasPrefix(prefix) }
    }

    struct Expected: Decodable {
        var timestamp: Int64
        var key_hex: String?
        var value_hex: String?
    }
}

private func hex(_ bytes: ArraySlice<UInt8>) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
}

@Suite struct `Segments of other programs` {
    @Test func `every good file gives its records, or says which codec it does not read`() throws {
        var read = 0
        let names = try ["aiokafka", "good", "kafkapython"].flatMap(Vectors.names)
        #expect(names.count == 15)
        for name in names {
            let json = try Data(
                contentsOf: Vectors.folder.appending(
                    path: name.replacingOccurrences(of: ".log", with: ".json")))
            let expected = try JSONDecoder().decode([Vectors.Expected].self, from: json)
            var reader = RecordBatchReader(try Vectors.bytes(name))
            do {
                var records: [Vectors.Expected] = []
                while let record = try reader.next() {
                    records.append(
                        Vectors.Expected(
                            timestamp: record.timestamp,
                            key_hex: record.key.map { hex(reader.bytes[$0]) },
                            value_hex: record.value.map { hex(reader.bytes[$0]) }))
                }
                #expect(records.count == expected.count, "\(name)")
                for (found, wanted) in zip(records, expected) {
                    #expect(found.timestamp == wanted.timestamp, "\(name)")
                    #expect(found.key_hex == wanted.key_hex, "\(name)")
                    #expect(found.value_hex == wanted.value_hex, "\(name)")
                }
                read += 1
            } catch {
                let codec = ["snappy", "lz4", "zstd"].first { name.contains($0) }
                #expect(codec.map { "\(error)".contains($0) } == true, "\(name): \(error)")
            }
        }
        #expect(read == 9)
    }

    /// Pitfalls 8 and 9: a torn tail is cut; damage with a good batch behind it never is, not by Kafka's
    /// way of cutting at the first bad batch.
    @Test func `every damaged file is cut where it is torn and kept where it is not`() async throws
    {
        let names = try Vectors.names("bad")
        #expect(names.count == 10)
        for name in names {
            let isTorn = name.contains("torn") || name.contains("zero-tail")
            let bench = Bench()
            try bench.disk.createDirectory(bench.directory)
            let bytes = try Vectors.bytes(name)
            bench.disk.setContent(bench.path(0), bytes)
            let partition = try bench.open()
            if isTorn {
                #expect(partition.failure == nil, "\(name)")
                let end = partition.logEnd
                #expect(try await bench.store(["after"], in: partition) == end, "\(name)")
                #expect(try await partition.values()[end.value] == "after", "\(name)")
            } else {
                #expect(partition.failure != nil, "\(name)")
                #expect(throws: LogError.self) { try partition.append(batch(["x"])) }
                #expect(bench.disk.content(bench.path(0)) == bytes, "\(name) was changed")
                let whole = partition.highWatermark
                if whole > Offset(0) {
                    #expect(try await partition.read(from: Offset(0), maxBytes: 1).isEmpty == false)
                }
            }
        }
    }

    /// Pitfall 25: no flipped bit of a batch is served as other data.
    @Test func `every flipped bit of a batch is found`() throws {
        var builder = RecordBatchBuilder()
        let key = Array("key".utf8)
        let value = Array("value".utf8)
        builder.append(timestamp: 1, key: key.span, value: value.span)
        builder.append(timestamp: 2, key: nil, value: nil)
        let good = builder.finish()
        for bit in 0..<(good.count * 8) {
            var bytes = good
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            var reader = RecordBatchReader(bytes)
            var values: [String] = []
            var isRefused = false
            do {
                while let record = try reader.next() {
                    values.append(
                        record.value.map { String(decoding: reader.bytes[$0], as: UTF8.self) }
                            ?? "-")
                }
            } catch { isRefused = true }
            // Base offset and leader epoch lie outside the checksum: they change no value.
            let isOutside = bit / 8 < 8 || (12..<16).contains(bit / 8)
            #expect(isRefused || isOutside && values == ["value", "-"], "bit \(bit)")
        }
    }

    @Test func `mutated batches never trap`() throws {
        var random = SeededRandom(seed: 5)
        let seeds = try ["good-base.log", "aiokafka-gzip.log", "kafkapython-none.log"].map(
            Vectors.bytes)
        for round in 0..<5_000 {
            var reader = RecordBatchReader(random.mutated(seeds[round % seeds.count]))
            while let record = try? reader.next() { _ = reader.headers(of: record) }
        }
    }
}
