import CZlib

package enum GzipError: Error, Equatable {
    /// Not gzip (RFC 1952), cut short, or followed by something else.
    case invalid
    /// More than `limit` bytes come out.
    case tooLarge(limit: Int)
}

/// The content of a gzip file of one or more members, at most `limit` bytes of it: a small bomb is
/// refused after `limit` bytes, not after it has filled the memory.
package func gunzip(_ bytes: Span<UInt8>, limit: Int) throws(GzipError) -> [UInt8] {
    let inflater = Inflater()
    inflater.feed(bytes.withUnsafeBufferPointer { Array($0) })
    var output: [UInt8] = []
    while true {
        let part = try inflater.next(most: min(32 << 10, limit - output.count + 1))
        if part.isEmpty { break }
        output += part
        if output.count > limit { throw .tooLarge(limit: limit) }
    }
    guard inflater.isWhole else { throw .invalid }
    return output
}

/// `bytes` as one gzip member. `level` is zlib's: 1 is the fastest, 9 the smallest.
package func gzip(_ bytes: Span<UInt8>, level: Int32) -> [UInt8] {
    precondition((1...9).contains(level))
    let input = bytes.withUnsafeBufferPointer { Array($0) }
    return Deflater(.large, level: level).deflate(input, isLast: true)
}

/// Opens gzip as it comes, a bounded piece at a time. Owns a `z_stream`; used by one task.
package final class Inflater {
    // zlib remembers where its stream lies, so that it must not move.
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private var input: [UInt8] = []
    private var position = 0
    private var isWithinMember = false
    private var hasFailed = false
    /// Bytes fed, and those that came out.
    package private(set) var inputBytes = 0
    package private(set) var outputBytes = 0

    package init() {
        stream.initialize(to: z_stream())
        // 16 + 15: gzip framing only, the largest window.
        let size = Int32(MemoryLayout<z_stream>.size)
        hasFailed = inflateInit2_(stream, 31, ZLIB_VERSION, size) != Z_OK
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// All that came ended with a member: it may be all there is.
    package var isWhole: Bool { inputBytes > 0 && position == input.count && !isWithinMember }

    /// More of the input; what was fed before has been taken.
    package func feed(_ bytes: [UInt8]) {
        input = position == input.count ? bytes : input[position...] + bytes
        position = 0
        inputBytes += bytes.count
    }

    /// The next bytes of the content, at most `most`; none where more input is needed.
    package func next(most: Int) throws(GzipError) -> [UInt8] {
        var output: [UInt8] = []
        while !hasFailed, output.isEmpty {
            if !isWithinMember {
                // What follows a member is another one.
                guard position < input.count else { break }
                isWithinMember = true
                if inflateReset(stream) != Z_OK { hasFailed = true }
            }
            let before = position
            let status = step(&output, most: most)
            if status == Z_STREAM_END {
                isWithinMember = false
            } else if status != Z_OK && status != Z_BUF_ERROR {
                hasFailed = true
            } else if output.isEmpty, position == before {
                break
            }
        }
        // What came out in front of damage counts no more than the damage.
        if hasFailed { throw .invalid }
        outputBytes += output.count
        return output
    }

    /// One call of `inflate`.
    private func step(_ output: inout [UInt8], most: Int) -> Int32 {
        var status = Z_OK
        input.withUnsafeBufferPointer { buffer in
            let count = min(buffer.count - position, Int(UInt32.max))
            // zlib only reads what `next_in` points to.
            stream.pointee.next_in = buffer.baseAddress.map {
                UnsafeMutablePointer(mutating: $0 + position)
            }
            stream.pointee.avail_in = uInt(count)
            output.append(addingCapacity: most) { (span: inout OutputSpan<UInt8>) in
                span.withUnsafeMutableBufferPointer { target, initializedCount in
                    stream.pointee.next_out = target.baseAddress! + initializedCount
                    stream.pointee.avail_out = uInt(most)
                    status = inflate(stream, Z_NO_FLUSH)
                    initializedCount += most - Int(stream.pointee.avail_out)
                }
            }
            position += count - Int(stream.pointee.avail_in)
        }
        return status
    }
}

/// Makes gzip of what is written, in one piece or a piece at a time. It owns a `z_stream`, and is
/// used by one task.
package final class Deflater {
    package enum Memory {
        /// 256 KiB while it lasts: for one whole body.
        case large
        /// 40 KiB: for a stream that may stay for hours beside thousands of others.
        case small
    }

    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

    /// The fastest level unless told, for an event loop waits for it.
    package init(_ memory: Memory, level: Int32 = 1) {
        stream.initialize(to: z_stream())
        // 16 + bits of the window: gzip framing.
        let windowBits: Int32 = memory == .large ? 31 : 16 + 12
        let status = deflateInit2_(
            stream, level, Z_DEFLATED, windowBits, memory == .large ? 8 : 5,
            Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        precondition(status == Z_OK, "no memory for a stream of zlib")
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
    }

    /// `bytes` so that a reader that has the result has all of them; with `isLast` the end as well.
    package func deflate(_ bytes: [UInt8], isLast: Bool) -> [UInt8] {
        var output: [UInt8] = []
        bytes.withUnsafeBufferPointer { input in
            stream.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
            stream.pointee.avail_in = uInt(input.count)
            var room = max(1024, input.count / 4)
            repeat {
                output.append(addingCapacity: room) { (span: inout OutputSpan<UInt8>) in
                    span.withUnsafeMutableBufferPointer { target, initializedCount in
                        stream.pointee.next_out = target.baseAddress! + initializedCount
                        stream.pointee.avail_out = uInt(room)
                        CZlib.deflate(stream, isLast ? Z_FINISH : Z_SYNC_FLUSH)
                        initializedCount += room - Int(stream.pointee.avail_out)
                    }
                }
                room = 16 << 10
                // Where room is left, all has come out.
            } while stream.pointee.avail_out == 0
        }
        return output
    }
}
