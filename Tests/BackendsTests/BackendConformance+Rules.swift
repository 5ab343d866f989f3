import Backends
import Testing

/// What every backend promises of appends under rules.
extension BackendConformance {
    static let rules: [(name: String, check: @Sendable (any Backend) async throws -> Void)] = [
        ("a producer's repeated batch has its old offset", repeatedBatch),
        ("a key's batch is found and not appended twice", repeatedKey),
        ("of many who want an end offset one gets it", contestedEnd),
    ]

    private static func append(
        _ value: String, to topic: any Topic, _ partition: Int = 0, under rules: AppendRules
    ) async throws -> (offset: Offset, isReplay: Bool) {
        let ticket = try topic.append(batch([value]), to: partition, acks: .all, under: rules)
        return (try await topic.acknowledge(ticket), ticket.isReplay)
    }

    static func repeatedBatch(_ backend: any Backend) async throws {
        let topic = try await create(backend, "repeated", partitions: 2)
        func rules(_ sequence: Int32, epoch: Int16 = 0) -> AppendRules {
            AppendRules(
                identity: .producer(ProducerSequence(id: 9, epoch: epoch, sequence: sequence)))
        }
        for sequence in 0..<7 as Range<Int32> {
            let first = try await append("v\(sequence)", to: topic, under: rules(sequence))
            #expect(first == (Offset(Int64(sequence)), false))
        }
        for sequence in 2..<7 as Range<Int32> {
            let second = try await append("again", to: topic, under: rules(sequence))
            #expect(second == (Offset(Int64(sequence)), true))
        }
        #expect(throws: BackendError.identity(.outOfOrderSequence(expected: 7))) {
            _ = try topic.append(batch(["x"]), to: 0, acks: .all, under: rules(8))
        }
        #expect(throws: BackendError.identity(.unknownProducer)) {
            _ = try topic.append(batch(["x"]), to: 1, acks: .all, under: rules(7))
        }
        #expect(try await append("other", to: topic, 1, under: rules(0)) == (Offset(0), false))
        #expect(try await append("new", to: topic, under: rules(0, epoch: 1)) == (Offset(7), false))
        #expect(throws: BackendError.identity(.fenced(currentEpoch: 1))) {
            _ = try topic.append(batch(["x"]), to: 0, acks: .all, under: rules(7))
        }
        #expect(try await values(of: topic) == (0..<7).map { "v\($0)" } + ["new"])
    }

    static func repeatedKey(_ backend: any Backend) async throws {
        let topic = try await create(backend, "keyed", partitions: 3)
        let stamp = KeyStamp(
            id: BatchIdentity.firstKeyID + 5, partitionCount: 3, fingerprint: 77, firstTried: 1)
        let rules = AppendRules(identity: .key(stamp))
        #expect(try topic.traces(ofKey: stamp.id) == [])
        #expect(try await append("a", to: topic, 1, under: rules) == (Offset(0), false))
        #expect(try await append("a", to: topic, 1, under: rules) == (Offset(0), true))
        let traces = try topic.traces(ofKey: stamp.id)
        #expect(traces.map(\.stamp.fingerprint) == [77])
        #expect(traces.map(\.baseOffset) == [Offset(0)])
        var other = stamp
        other.fingerprint = 78
        #expect(throws: BackendError.identity(.keyReused)) {
            _ = try topic.append(
                batch(["b"]), to: 1, acks: .all, under: AppendRules(identity: .key(other)))
        }
        #expect(try await values(of: topic, 1) == ["a"])
    }

    /// R9: 100 at a time, and each offset is won once.
    static func contestedEnd(_ backend: any Backend) async throws {
        let topic = try await create(backend, "contested")
        let won = await withTaskGroup(of: Int64.self) { group in
            for writer in 0..<100 {
                group.addTask { await winAnEnd(of: topic, "writer \(writer)") }
            }
            var won: [Int64] = []
            for await offset in group { won.append(offset) }
            return won
        }
        #expect(won.sorted() == Array(0..<100))
        #expect(Set(try await values(of: topic)).count == 100)
    }

    /// Tries until the value stands at an end offset it asked for; -1 where something else failed.
    private static func winAnEnd(of topic: any Topic, _ value: String) async -> Int64 {
        var wanted = Offset(0)
        while true {
            do throws(BackendError) {
                let ticket = try topic.append(
                    batch([value]), to: 0, acks: .all, under: AppendRules(endOffset: wanted))
                let offset = try await topic.acknowledge(ticket)
                #expect(offset == wanted)
                return offset.value
            } catch {
                guard case .endOffsetMismatch(let endOffset) = error else { return -1 }
                wanted = endOffset
            }
        }
    }
}
