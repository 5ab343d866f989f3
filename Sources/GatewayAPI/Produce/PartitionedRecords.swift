package import Backends
import Platform

/// Records of a request, each in the batch of its partition, in the order of the request.
///
/// The first partition's batch stands by itself: a request for one partition, which is nearly every
/// one, builds no array and no table.
package struct PartitionedRecords {
    /// Where a record went: into which batch, as which of its records.
    package struct Place: Sendable {
        package var batch: Int
        package var index: Int
    }

    /// What decides over the records of one request.
    package struct Rules {
        package var partitionCount: Int
        /// Of records that name none themselves: the query's.
        package var partition: Int?
        /// Of records that have none themselves: the query's.
        package var key: [UInt8]?
        /// Where records without key go.
        package var keylessPartition: Int
        /// Milliseconds since 1970, for records without timestamp.
        package var now: Int64
        package var maxRecordBytes: Int
        /// The topic is compacted.
        package var needsKeys: Bool
        /// The `traceparent` of the request, for records that have none; empty: none.
        package var traceparent: [UInt8] = []
        /// Whether batches say `now` as their base timestamp, whatever their records say.
        package var fixesBaseTimestamp = false

        package init(
            partitionCount: Int, partition: Int? = nil, key: [UInt8]? = nil,
            keylessPartition: Int = 0, now: Int64, maxRecordBytes: Int, needsKeys: Bool = false
        ) {
            self.partitionCount = partitionCount
            self.partition = partition
            self.key = key
            self.keylessPartition = keylessPartition
            self.now = now
            self.maxRecordBytes = maxRecordBytes
            self.needsKeys = needsKeys
        }

        var baseTimestamp: Int64? { fixesBaseTimestamp ? now : nil }
    }

    package let rules: Rules
    package private(set) var recordCount = 0
    /// The partitions of the batches, the first among them.
    package private(set) var partitions: [Int] = []
    /// Of each record; empty while there is one partition, where a record's index says it all.
    package private(set) var places: [Place] = []
    private var firstPartition = -1
    private var first: RecordBatchBuilder
    private var others: [RecordBatchBuilder] = []
    /// By partition, its batch's index plus one; empty while there is one.
    private var batchOf: [Int32] = []

    package init(_ rules: Rules) {
        self.rules = rules
        first = RecordBatchBuilder(baseTimestamp: rules.baseTimestamp)
    }

    /// How many batches there are.
    package var batchCount: Int { recordCount == 0 ? 0 : 1 + others.count }

    package func partition(ofBatch batch: Int) -> Int {
        batch == 0 ? firstPartition : partitions[batch]
    }

    /// Where the record of that index went.
    package func place(_ record: Int) -> Place {
        places.isEmpty ? Place(batch: 0, index: record) : places[record]
    }

    // MARK: - Hot path

    /// Adds a record whose bytes stand in `given` and `decoded`. Throws with nothing added;
    /// `position` is where the record begins.
    package mutating func add(
        _ record: ParsedRecord, given: [UInt8], decoded: [UInt8] = [], at position: Int = 0
    ) throws(PayloadFault) {
        if !rules.traceparent.isEmpty { return try addTraced(record, given, decoded, position) }
        if case .none = record.key, let key = rules.key {
            var record = record
            record.key = .decoded(decoded.count..<(decoded.count + key.count))
            return try place(record, given, decoded + key, position)
        }
        try place(record, given, decoded, position)
    }

    /// With the request's `traceparent` in its headers, unless the record brings its own.
    private mutating func addTraced(
        _ record: ParsedRecord, _ given: [UInt8], _ decoded: [UInt8], _ position: Int
    ) throws(PayloadFault) {
        var record = record
        if !record.headers.contains(TraceContext.headerName) {
            let (name, value) = (TraceContext.headerName, rules.traceparent)
            record.headers.append(name: name.span, value: value.span)
        }
        guard case .none = record.key, let key = rules.key else {
            return try place(record, given, decoded, position)
        }
        record.key = .decoded(decoded.count..<(decoded.count + key.count))
        try place(record, given, decoded + key, position)
    }

    private mutating func place(
        _ record: ParsedRecord, _ given: [UInt8], _ decoded: [UInt8], _ position: Int
    ) throws(PayloadFault) {
        if rules.needsKeys, case .none = record.key {
            throw PayloadFault(
                .recordWithoutKey, Problem.recordNeedsKey, at: position, field: "key")
        }
        let partition = try partition(of: record, given, decoded, position)
        if recordCount == 0 { firstPartition = partition }
        let isAdded: Bool
        if partition == firstPartition {
            isAdded = first.append(
                record, given: given, decoded: decoded, now: rules.now, limit: rules.maxRecordBytes)
            if isAdded, !places.isEmpty {
                places.append(Place(batch: 0, index: first.recordCount - 1))
            }
        } else {
            isAdded = addToOther(record, given, decoded, partition)
        }
        guard isAdded else {
            throw PayloadFault(
                .recordTooLarge,
                "the record is larger than the topic's maxRecordBytes, \(rules.maxRecordBytes) "
                    + "bytes for key, value and headers. Send it in parts, or raise that.",
                at: position, limit: rules.maxRecordBytes)
        }
        recordCount += 1
    }

    private func partition(
        of record: ParsedRecord, _ given: [UInt8], _ decoded: [UInt8], _ position: Int
    ) throws(PayloadFault) -> Int {
        if let partition = record.partition {
            guard partition < rules.partitionCount else {
                throw PayloadFault(
                    .unknownPartition,
                    "there is no partition \(partition): the topic has \(rules.partitionCount), "
                        + "counted from 0.", at: position, field: "partition")
            }
            return partition
        }
        if let partition = rules.partition { return partition }
        guard let key = record.key.range else { return rules.keylessPartition }
        if rules.partitionCount == 1 { return 0 }
        let source = record.key.isDecoded ? decoded.span : given.span
        return murmur2Partition(source.extracting(key), of: rules.partitionCount)
    }

    private mutating func addToOther(
        _ record: ParsedRecord, _ given: [UInt8], _ decoded: [UInt8], _ partition: Int
    ) -> Bool {
        if batchOf.isEmpty { startTable() }
        var batch = Int(batchOf[partition]) - 1
        if batch < 0 {
            others.append(RecordBatchBuilder(baseTimestamp: rules.baseTimestamp))
            batch = others.count
        }
        let isAdded = others[batch - 1].append(
            record, given: given, decoded: decoded, now: rules.now, limit: rules.maxRecordBytes)
        guard isAdded else {
            if others[batch - 1].recordCount == 0 { others.removeLast() }
            return false
        }
        if batchOf[partition] == 0 {
            batchOf[partition] = Int32(batch + 1)
            partitions.append(partition)
        }
        places.append(Place(batch: batch, index: others[batch - 1].recordCount - 1))
        return true
    }

    /// A second partition: from here on every record's place is kept.
    private mutating func startTable() {
        batchOf = [Int32](repeating: 0, count: rules.partitionCount)
        batchOf[firstPartition] = 1
        partitions = [firstPartition]
        places = (0..<recordCount).map { Place(batch: 0, index: $0) }
    }

    // MARK: - Out

    /// The batch, taken out; each once.
    package mutating func takeBatch(_ batch: Int) -> RecordBatchBuilder {
        var taken = RecordBatchBuilder()
        if batch == 0 { swap(&taken, &first) } else { swap(&taken, &others[batch - 1]) }
        return taken
    }
}
