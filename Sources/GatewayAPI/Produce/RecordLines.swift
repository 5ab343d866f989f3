import Backends
import JSON

/// NDJSON as it arrives in pieces: finds the lines and parses the record of each.
///
/// A line ends with LF or CR LF, the last one also with the body; blank lines are passed over.
package struct RecordLines {
    /// What arrived and is no whole line yet.
    private var buffer: [UInt8] = []
    /// How far `buffer` has been searched for its line feed.
    private var searched = 0
    /// Lines that ended so far.
    package private(set) var lineCount = 0
    /// What it holds of a line whose end has not come.
    package var unfinishedBytes: Int { buffer.count }
    private var parser: RecordParser
    private let lineLimit: Int

    /// `lineLimit` is the longest line taken, in bytes; nothing longer is ever held.
    package init(topic: String, lineLimit: Int) {
        parser = RecordParser(topic: topic)
        self.lineLimit = lineLimit
    }

    // MARK: - Hot path

    /// Takes in what arrived (nil: the end) and adds the records of the lines that are whole now,
    /// and to `lines` their numbers, counted from 1. Throws the problem of the first bad line; the
    /// lines before it are added.
    package mutating func take(
        _ bytes: [UInt8]?, into records: inout PartitionedRecords, lines: inout [Int]
    ) throws(Problem) {
        if let bytes {
            if buffer.isEmpty { buffer = bytes } else { buffer.append(contentsOf: bytes) }
        }
        var start = 0
        while let end = nextLineFeed() {
            try takeLine(start..<end, &records, &lines)
            start = end + 1
        }
        if bytes == nil, start < buffer.count {
            try takeLine(start..<buffer.count, &records, &lines)
            start = buffer.count
        }
        if start == buffer.count {
            buffer.removeAll(keepingCapacity: true)
        } else if start > 0 {
            buffer.removeFirst(start)
        }
        searched = buffer.count
        if buffer.count > lineLimit { throw tooLong(lineCount + 1) }
    }

    private mutating func nextLineFeed() -> Int? {
        let start = searched
        let found = Self.lineFeed(buffer.span, from: start)
        searched = found.map { $0 + 1 } ?? buffer.count
        return found
    }

    private static func lineFeed(_ bytes: Span<UInt8>, from start: Int) -> Int? {
        var at = start
        while at < bytes.count {
            if bytes[at] == 0x0A { return at }
            at += 1
        }
        return nil
    }

    private mutating func takeLine(
        _ range: Range<Int>, _ records: inout PartitionedRecords, _ lines: inout [Int]
    ) throws(Problem) {
        lineCount += 1
        if range.count > lineLimit { throw tooLong(lineCount) }
        let isBlank = buffer[range].allSatisfy { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
        if isBlank { return }
        do throws(PayloadFault) {
            var reader = JSONReader(buffer, in: range)
            let record = try parser.parse(&reader)
            try reader.takeEnd()
            try records.add(
                record, given: buffer, decoded: parser.decoded, at: range.lowerBound)
        } catch { throw error.problem(.line(lineCount, start: range.lowerBound)) }
        lines.append(lineCount)
    }

    private func tooLong(_ line: Int) -> Problem {
        Problem(
            .recordTooLarge,
            "Line \(line) is longer than \(lineLimit) bytes. Each record is a line of its own, and "
                + "ends with a line feed.",
            [("line", .integer(Int64(line))), ("limit", .integer(Int64(lineLimit)))])
    }
}
