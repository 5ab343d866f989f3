import ArgumentParser
import Backends
import JSON
import LogEngine
import Platform

/// `millrace log`: looks at files of the log without a server.
struct Log: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look at the files of a log.", subcommands: [Inspect.self, Verify.self])

    struct Inspect: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the batches of a segment file (.log), Millrace's or Kafka's.")

        @Argument(help: "The segment file.")
        var file: String

        @Flag(help: "Show the records as well.")
        var records = false

        func run() throws {
            let inspection: SegmentInspection
            do throws(DiskError) {
                inspection = try SegmentInspection(file, disk: SystemDisk()) {
                    header, position, bytes in
                    printLine(Self.line(header, position))
                    if records { Self.printRecords(bytes) }
                }
            } catch {
                throw Failure("\(error)")
            }
            printLine(
                "\(inspection.batchCount) batches, \(inspection.recordCount) records, next offset "
                    + "\(inspection.nextOffset)")
            try Self.report(inspection)
        }

        private static func line(_ header: RecordBatchHeader, _ position: Int64) -> String {
            var line =
                "@\(position) offsets \(header.baseOffset)-\(header.lastOffset) records "
                + "\(header.recordCount) bytes \(header.batchByteCount) codec \(header.codec) "
                + "maxTimestamp \(header.maxTimestamp) leaderEpoch \(header.partitionLeaderEpoch)"
            if header.producerID >= 0 {
                line +=
                    " producer \(header.producerID)/\(header.producerEpoch)/\(header.baseSequence)"
            }
            if header.isTransactional { line += " transactional" }
            if header.isControl { line += " control" }
            return line
        }

        private static func printRecords(_ batch: [UInt8]) {
            var reader = RecordBatchReader(batch)
            do {
                while let record = try reader.next() {
                    var writer = JSONWriter()
                    writer.beginObject()
                    writer.name("offset")
                    writer.integer(record.offset.value)
                    writer.name("timestamp")
                    writer.integer(record.timestamp)
                    writer.field("key", record.key.map { reader.bytes[$0] })
                    writer.field("value", record.value.map { reader.bytes[$0] })
                    writer.endObject()
                    printLine("  " + String(decoding: writer.bytes, as: UTF8.self))
                }
            } catch {
                printLine("  not readable: \(error)")
            }
        }

        /// Exit status 1 where the file is not whole.
        private static func report(_ inspection: SegmentInspection) throws(Failure) {
            let place = "from byte \(inspection.validByteCount) on"
            switch inspection.ending {
            case .complete: return
            case .torn(let byteCount):
                throw Failure(
                    "\(byteCount) bytes \(place) are no batch, with none behind: a torn tail")
            case .damaged(let validAt):
                throw Failure(
                    "damage \(place); an intact batch stands behind it at byte \(validAt)")
            case .misplaced:
                throw Failure("intact batches \(place) are not those that were written here")
            case .unreadable(let error):
                throw Failure("the disk cannot read \(place): \(error)")
            }
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read every byte of a stopped server's data directory and say what is wrong.",
            discussion:
                "Exit status 1 where something is damaged. What the next start mends is told too.")

        @Argument(help: "The data directory.")
        var directory: String

        func run() throws {
            let disk = SystemDisk()
            let found: DirectoryVerdict
            do throws(DiskError) { found = try DirectoryVerdict(directory, disk: disk) } catch {
                throw Failure("\(error)")
            }
            var damage = found.damage.count
            for words in found.damage { printLine("DAMAGE \(words)") }
            var partitions = 0
            for path in found.partitions {
                do throws(DiskError) {
                    let verdict = try PartitionVerdict("\(directory)/\(path)", disk: disk)
                    partitions += 1
                    damage += Self.print(verdict, path)
                } catch {
                    printLine("DAMAGE \(path): \(error)")
                    damage += 1
                }
            }
            printLine("\(partitions) partitions, \(damage) findings of damage")
            if damage > 0 { throw Failure("the log is damaged") }
        }

        private static func print(_ verdict: PartitionVerdict, _ path: String) -> Int {
            printLine(
                "\(path): \(verdict.segmentCount) segments, \(verdict.batchCount) batches, "
                    + "\(verdict.byteCount) bytes")
            for finding in verdict.findings {
                let kind = finding.isHarmless ? "note" : "DAMAGE"
                printLine("  \(kind) \(finding.file): \(finding.words)")
            }
            return verdict.findings.count { !$0.isHarmless }
        }
    }
}

extension JSONWriter {
    /// Bytes as text, or how many they are where they are none.
    fileprivate mutating func field(_ name: String, _ bytes: ArraySlice<UInt8>?) {
        self.name(name)
        guard let bytes else { return null() }
        if isUTF8(bytes) { string(utf8: bytes) } else { string("(\(bytes.count) bytes)") }
    }
}
