import Foundation
import LogEngine

/// The segment files of `Vectors`, made by kafka-python and aiokafka, and what they hold.
enum Vectors {
    /// One record as the `.json` beside a good file tells it.
    struct Expected: Decodable, Equatable {
        var offset: Int64
        var timestamp: Int64
        var key: String?
        var value: String?
        var headers: [Header]

        /// `["name", "hex or null"]`.
        struct Header: Decodable, Equatable {
            var name: String
            var value: String?

            init(name: String, value: String?) {
                self.name = name
                self.value = value
            }

            init(from decoder: any Decoder) throws {
                var pair = try decoder.unkeyedContainer()
                name = try pair.decode(String.self)
                value = try pair.decodeIfPresent(String.self)
            }
        }

        enum CodingKeys: String, CodingKey {
            case offset, timestamp, headers
            case key = "key_hex"
            case value = "value_hex"
        }
    }

    private static let directory = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "Vectors")

    static func log(_ name: String) throws -> [UInt8] {
        try [UInt8](Data(contentsOf: directory.appending(path: name + ".log")))
    }

    static func expected(_ name: String) throws -> [Expected] {
        let data = try Data(contentsOf: directory.appending(path: name + ".json"))
        return try JSONDecoder().decode([Expected].self, from: data)
    }

    /// What the reader finds, in the words of the `.json`.
    static func found(_ batches: [UInt8]) throws(LogError) -> [Expected] {
        var reader = RecordBatchReader(batches)
        var found: [Expected] = []
        while let record = try reader.next() {
            let headers = reader.headers(of: record).map { header in
                Expected.Header(
                    name: String(decoding: reader.bytes[header.name], as: UTF8.self),
                    value: header.value.map { hex(reader.bytes[$0]) })
            }
            found.append(
                Expected(
                    offset: record.offset.value, timestamp: record.timestamp,
                    key: record.key.map { hex(reader.bytes[$0]) },
                    value: record.value.map { hex(reader.bytes[$0]) }, headers: headers))
        }
        return found
    }

    /// How many records stand in front of the first byte that is not as it was written.
    static func intactPrefix(_ bytes: [UInt8]) throws -> Int {
        let whole = try log("good-base")
        let equal = zip(bytes, whole).prefix { $0 == $1 }.count
        return equal / (whole.count / 3) * 5
    }

    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}
