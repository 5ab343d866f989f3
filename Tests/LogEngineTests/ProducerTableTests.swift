import LogEngine
import Platform
import Testing

/// Kafka's rules for producers, and those for keys, on the value that holds them.
struct ProducerTableTests {
    private let now = Instant(nanoseconds: 1)

    private static func sent(_ sequence: Int32, epoch: Int16 = 0) -> BatchIdentity {
        .producer(ProducerSequence(id: 7, epoch: epoch, sequence: sequence))
    }

    private static func key(
        _ id: Int64, fingerprint: Int32 = 1, firstTried: Int64 = 100
    ) -> BatchIdentity {
        .key(
            KeyStamp(
                id: BatchIdentity.firstKeyID + id, partitionCount: 4, fingerprint: fingerprint,
                firstTried: firstTried))
    }

    /// A table after batches of two records each, one behind the other.
    private func table(batches: Int32, epoch: Int16 = 0) -> ProducerTable {
        var table = ProducerTable()
        for batch in 0..<batches {
            table.note(
                Self.sent(2 * batch, epoch: epoch), at: Offset(Int64(100 + 2 * batch)),
                recordCount: 2, now: now)
        }
        return table
    }

    /// Every sequence number sent after every number of batches.
    @Test(arguments: 0...8 as ClosedRange<Int32>)
    func `a batch is next, one of the last five, or refused, and nothing else`(
        batches: Int32
    ) throws {
        let table = table(batches: batches)
        for sequence in 0...20 as ClosedRange<Int32> {
            let sent = Self.sent(sequence)
            if sequence == 2 * batches {
                #expect(try table.judge(sent, recordCount: 2) == .append)
            } else if batches == 0 {
                #expect(throws: IdentityRefusal.unknownProducer) {
                    try table.judge(sent, recordCount: 2)
                }
            } else if sequence % 2 == 0, sequence < 2 * batches, sequence >= 2 * batches - 10 {
                let offset = Offset(Int64(100 + sequence))
                #expect(try table.judge(sent, recordCount: 2) == .duplicate(offset))
            } else {
                #expect(throws: IdentityRefusal.outOfOrderSequence(expected: 2 * batches)) {
                    try table.judge(sent, recordCount: 2)
                }
            }
        }
    }

    @Test func `a batch of another length at a known number is no duplicate`() {
        #expect(throws: IdentityRefusal.outOfOrderSequence(expected: 4)) {
            try table(batches: 2).judge(Self.sent(2), recordCount: 1)
        }
    }

    @Test func `an old epoch is fenced, a new one begins with 0 and forgets the old`() throws {
        var table = table(batches: 3, epoch: 5)
        #expect(throws: IdentityRefusal.fenced(currentEpoch: 5)) {
            try table.judge(Self.sent(6, epoch: 4), recordCount: 2)
        }
        #expect(throws: IdentityRefusal.outOfOrderSequence(expected: 0)) {
            try table.judge(Self.sent(6, epoch: 6), recordCount: 2)
        }
        let new = Self.sent(0, epoch: 6)
        #expect(try table.judge(new, recordCount: 2) == .append)
        table.note(new, at: Offset(200), recordCount: 2, now: now)
        #expect(try table.judge(new, recordCount: 2) == .duplicate(Offset(200)))
        #expect(throws: IdentityRefusal.fenced(currentEpoch: 6)) {
            try table.judge(Self.sent(4, epoch: 5), recordCount: 2)
        }
    }

    @Test func `sequence numbers go on with 0 behind 2 to the 31 less 1`() throws {
        var table = ProducerTable()
        let last = Self.sent(.max - 1)
        table.note(last, at: Offset(9), recordCount: 3, now: now)
        #expect(try table.judge(last, recordCount: 3) == .duplicate(Offset(9)))
        #expect(try table.judge(Self.sent(1), recordCount: 1) == .append)
        #expect(throws: IdentityRefusal.outOfOrderSequence(expected: 1)) {
            try table.judge(Self.sent(0), recordCount: 1)
        }
    }

    @Test func `a key is answered with its offset, and refused with another request`() throws {
        var table = ProducerTable()
        #expect(try table.judge(Self.key(1), recordCount: 1) == .append)
        table.note(Self.key(1), at: Offset(5), recordCount: 1, now: now)
        #expect(try table.judge(Self.key(1), recordCount: 1) == .duplicate(Offset(5)))
        #expect(throws: IdentityRefusal.keyReused) {
            try table.judge(Self.key(1, fingerprint: 2), recordCount: 1)
        }
    }

    /// Pitfall 45: half of a request that was forgotten is not appended a second time.
    @Test func `a retry whose half may be forgotten is told so, one that came later is not`()
        throws
    {
        var table = ProducerTable()
        table.note(Self.key(1, firstTried: 100), at: Offset(0), recordCount: 1, now: now)
        let dayLater = now + .seconds(24 * 60 * 60 + 1)
        table.expire(now: dayLater)
        #expect(table.keyCount == 0)
        #expect(throws: IdentityRefusal.keyForgotten) {
            try table.judge(Self.key(1, firstTried: 100), recordCount: 1, isRetry: true)
        }
        let later = Self.key(2, firstTried: 101)
        #expect(try table.judge(later, recordCount: 1, isRetry: true) == .append)
        #expect(try table.judge(Self.key(1), recordCount: 1) == .append)
    }

    @Test func `producers of a day ago are forgotten and said to be unknown`() {
        var table = table(batches: 2)
        table.expire(now: now + .seconds(24 * 60 * 60 - 1))
        #expect(table.producerCount == 1)
        table.expire(now: now + .seconds(24 * 60 * 60 + 1))
        #expect(table.producerCount == 0)
        #expect(throws: IdentityRefusal.unknownProducer) {
            try table.judge(Self.sent(4), recordCount: 2)
        }
    }

    @Test func `100,000 keys and producers leave the last ten thousand and little more`() throws {
        var table = ProducerTable()
        for number in 0..<100_000 as Range<Int64> {
            table.note(
                Self.key(number, firstTried: number), at: Offset(2 * number), recordCount: 1,
                now: now)
            table.note(
                .producer(ProducerSequence(id: number, epoch: 0, sequence: 0)),
                at: Offset(2 * number + 1), recordCount: 1, now: now)
        }
        #expect(10_000...12_500 ~= table.keyCount)
        #expect(10_000...12_500 ~= table.producerCount)
        for number in 90_000..<100_000 as Range<Int64> {
            let verdict = try table.judge(Self.key(number), recordCount: 1)
            #expect(verdict == .duplicate(Offset(2 * number)))
        }
    }
}
