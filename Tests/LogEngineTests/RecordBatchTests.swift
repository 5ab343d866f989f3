import LogEngine
import Platform
import TestSupport
import Testing

/// A record before it is encoded.
private struct Input: Equatable {
    var timestamp: Int64 = 1_700_000_000_000
    var key: [UInt8]?
    var value: [UInt8]?
    var headers: [(name: String, value: [UInt8]?)] = []

    static func == (left: Input, right: Input) -> Bool {
        left.timestamp == right.timestamp && left.key == right.key && left.value == right.value
            && left.headers.elementsEqual(right.headers) {
                $0.name == $1.name && $0.value == $1.value
            }
    }

    func add(to builder: inout RecordBatchBuilder) {
        var encoded = RecordHeaders()
        for header in headers {
            let name = Array(header.name.utf8)
            encoded.append(name: name.span, value: header.value?.span)
        }
        builder.append(
            timestamp: timestamp, key: key?.span, value: value?.span, headers: encoded)
    }

    static func encode(_ inputs: [Input]) -> [UInt8] {
        var builder = RecordBatchBuilder()
        for input in inputs { input.add(to: &builder) }
        return builder.finish()
    }

    static func decode(_ batches: [UInt8], areChecked: Bool = false) throws(LogError) -> [Input] {
        var reader = RecordBatchReader(batches, areChecked: areChecked)
        var inputs: [Input] = []
        while let record = try reader.next() {
            let headers = reader.headers(of: record).map { header in
                (
                    name: String(decoding: reader.bytes[header.name], as: UTF8.self),
                    value: header.value.map { Array(reader.bytes[$0]) }
                )
            }
            inputs.append(
                Input(
                    timestamp: record.timestamp, key: record.key.map { Array(reader.bytes[$0]) },
                    value: record.value.map { Array(reader.bytes[$0]) }, headers: headers))
        }
        return inputs
    }
}

struct RecordBatchTests {
    private static let small = [
        Input(key: [1, 2], value: [3]),
        Input(key: nil, value: nil, headers: [("a", [9]), ("a", nil)]),
    ]

    // MARK: - Round trips

    @Test func `no key is not an empty key, and no value not an empty one`() throws {
        let inputs = [
            Input(key: nil, value: nil), Input(key: [], value: nil), Input(key: nil, value: []),
            Input(key: [], value: []), Input(key: [0], value: [0xFF, 0]),
        ]
        #expect(try Input.decode(Input.encode(inputs)) == inputs)
    }

    @Test func `headers keep their order, repeated names and values that are none`() throws {
        let headers: [(name: String, value: [UInt8]?)] = [
            ("b", [1]), ("a", nil), ("b", []), ("", [2]), ("ø", Array(repeating: 7, count: 300)),
        ]
        let inputs = [Input(key: nil, value: [1], headers: headers), Input(value: [2])]
        #expect(try Input.decode(Input.encode(inputs)) == inputs)
    }

    /// Pitfall 19: clients' clocks say anything.
    @Test func `timestamps come back whatever their order and century`() throws {
        let times: [Int64] = [
            1_700_000_000_000, 0, 10_413_792_000_000, -1, 1_699_999_999_999, .max, .min, 5,
        ]
        let inputs = times.map { Input(timestamp: $0, value: [1]) }
        let bytes = Input.encode(inputs)
        #expect(try Input.decode(bytes) == inputs)
        let header = RecordBatchHeader(bytes.span)
        #expect(header?.maxTimestamp == .max)
    }

    @Test func `ten thousand records come back with offsets that count up`() throws {
        let inputs = (0..<10_000).map { index in
            Input(key: Array(String(index).utf8), value: Array("value \(index)".utf8))
        }
        let bytes = Input.encode(inputs)
        #expect(try Input.decode(bytes) == inputs)
        var reader = RecordBatchReader(bytes)
        var next: Int64 = 0
        while let record = try reader.next() {
            #expect(record.offset.value == next)
            next += 1
        }
        #expect(next == 10_000)
        #expect(reader.nextOffset == Offset(10_000))
    }

    @Test func `a record that is put back comes again, wherever it stands`() throws {
        let batches = Input.encode((0..<5).map { Input(value: [UInt8($0)]) })
        var reader = RecordBatchReader(batches)
        var values: [UInt8] = []
        while let record = try reader.next() {
            reader.putBack(record)
            let again = try #require(try reader.next())
            #expect(again.offset == record.offset && again.value == record.value)
            values += reader.bytes[try #require(again.value)]
        }
        #expect(values == [0, 1, 2, 3, 4])
    }

    @Test func `a record above the limit is not added and leaves no trace`() throws {
        let key = [UInt8](repeating: 1, count: 100)
        var builder = RecordBatchBuilder()
        let isAdded = builder.append(timestamp: 1, key: nil, value: key.span, limit: 109)
        #expect(isAdded)
        let before = builder.byteCount
        let isAddedAgain = builder.append(timestamp: 99, key: nil, value: key.span, limit: 108)
        #expect(!isAddedAgain)
        #expect(builder.byteCount == before)
        #expect(builder.recordCount == 1)
        #expect(builder.largestRecordByteCount == before - RecordBatchHeader.byteCount)
        let bytes = builder.finish()
        let header = RecordBatchHeader(bytes.span)
        #expect(header?.maxTimestamp == 1)
    }

    // MARK: - Damage

    @Test(arguments: 0..<RecordBatchHeader.byteCount)
    func `a header cut short is no header, and no trap`(length: Int) throws {
        let whole = Input.encode(Self.small)
        let cut = Array(whole.prefix(length))
        let header = RecordBatchHeader(cut.span)
        #expect(header == nil)
        if length > 0 { #expect(throws: LogError.self) { try Input.decode(cut) } }
    }

    @Test func `a batch cut short anywhere is refused, not read in part`() throws {
        let whole = Input.encode(Self.small)
        for length in 1..<whole.count {
            #expect(throws: LogError.self) { try Input.decode(Array(whole.prefix(length))) }
        }
    }

    /// Pitfall 25. In front of what the checksum covers are the offset, which the log checks, and
    /// the leader's epoch, which nobody reads.
    @Test func `each flipped bit is noticed or changes no record`() throws {
        let whole = Input.encode(Self.small)
        for bit in 0..<whole.count * 8 {
            var flipped = whole
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            do throws(LogError) {
                let read = try Input.decode(flipped)
                #expect(read == Self.small, "bit \(bit)")
                #expect(bit / 8 < 8 || (12..<16).contains(bit / 8), "bit \(bit)")
            } catch {
                guard case .damaged = error else {
                    Issue.record("bit \(bit): \(error)")
                    continue
                }
            }
        }
    }

    /// With a checksum made anew or not asked for, so that the record parser meets the damage.
    @Test(arguments: 0..<8)
    func `mutated batches are read or refused, and never trap`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let whole = Input.encode(Self.small + [Input(key: nil, value: [1, 2, 3, 4, 5, 6, 7, 8])])
        for _ in 0..<4000 {
            var bytes = random.mutated(whole)
            if bytes.count >= RecordBatchHeader.byteCount, random.below(4) > 0 {
                bytes.setBigEndian(UInt32(bytes.count - 12), at: 8)
                bytes.setBigEndian(crc32c(bytes.span.extracting(21..<bytes.count)), at: 17)
            }
            do throws(LogError) {
                _ = try Input.decode(bytes, areChecked: random.below(2) == 0)
            } catch {
                guard case .damaged = error else {
                    Issue.record("seed \(seed): \(error)")
                    continue
                }
            }
        }
    }

    /// A batch of eight bytes of records may claim four billion of them.
    @Test func `a record count that cannot be true is refused before memory is asked for`() throws {
        for (at, count) in [(57, UInt32(Int32.max)), (57, 3), (57, 1), (57, UInt32.max)] {
            var bytes = Input.encode(Self.small)
            bytes.setBigEndian(count, at: at)
            bytes.setBigEndian(crc32c(bytes.span.extracting(21..<bytes.count)), at: 17)
            #expect(throws: LogError.self) { try Input.decode(bytes) }
        }
    }

    /// Pitfall 26: each batch alone is intact.
    @Test func `batches in the wrong order or twice are refused`() throws {
        var second = Input.encode(Self.small)
        second.setBigEndian(Int64(2), at: 0)
        let first = Input.encode(Self.small)
        #expect(try Input.decode(first + second).count == 4)
        #expect(throws: LogError.self) { try Input.decode(second + first) }
        #expect(throws: LogError.self) { try Input.decode(first + first) }
    }

    // MARK: - Files of other programs

    @Test(arguments: [
        "good-base", "aiokafka-none", "aiokafka-gzip", "kafkapython-none", "kafkapython-gzip",
        "kafkapython-big", "kafkapython-idempotent", "kafkapython-offset-gap",
        "kafkapython-transactional",
    ])
    func `what other programs wrote reads as they meant it`(name: String) throws {
        #expect(try Vectors.found(Vectors.log(name)) == Vectors.expected(name))
    }

    @Test(arguments: ["aiokafka", "kafkapython"], ["snappy", "lz4", "zstd"])
    func `a codec this room does not read is named, not taken for damage`(
        program: String, codec: String
    ) throws {
        let bytes = try Vectors.log("\(program)-\(codec)")
        do throws(LogError) {
            _ = try Vectors.found(bytes)
            Issue.record("read")
        } catch {
            #expect("\(error)".contains(codec))
        }
    }

    @Test(arguments: ["aiokafka-gzip", "kafkapython-gzip"])
    func `mutated gzip batches never trap`(name: String) throws {
        var random = SeededRandom(seed: 7)
        let whole = try Vectors.log(name)
        for _ in 0..<1000 {
            var bytes = random.mutated(whole)
            if bytes.count >= RecordBatchHeader.byteCount {
                bytes.setBigEndian(UInt32(bytes.count - 12), at: 8)
                bytes.setBigEndian(crc32c(bytes.span.extracting(21..<bytes.count)), at: 17)
            }
            do throws(LogError) { _ = try Vectors.found(bytes) } catch { continue }
        }
    }
}
