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
    guard !bytes.isEmpty, bytes.count <= Int(UInt32.max) else { throw .invalid }
    var stream = z_stream()
    // 16 + 15: gzip framing only, the largest window.
    let version = inflateInit2_(&stream, 31, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    guard version == Z_OK else { throw .invalid }
    defer { inflateEnd(&stream) }
    var output: [UInt8] = []
    let failure: GzipError? = bytes.withUnsafeBufferPointer { input in
        stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress!)
        stream.avail_in = uInt(input.count)
        while true {
            let status = inflateSome(&stream, into: &output, limit: limit)
            if output.count > limit { return .tooLarge(limit: limit) }
            switch status {
            case Z_OK: continue
            case Z_STREAM_END:
                if stream.avail_in == 0 { return nil }
                guard inflateReset(&stream) == Z_OK else { return .invalid }
            default: return .invalid
            }
        }
    }
    if let failure { throw failure }
    return output
}

/// `bytes` as one gzip member. `level` is zlib's: 1 is the fastest, 9 the smallest.
package func gzip(_ bytes: Span<UInt8>, level: Int32) -> [UInt8] {
    precondition(bytes.count <= Int(UInt32.max) && (1...9).contains(level))
    var stream = z_stream()
    let status = deflateInit2_(
        &stream, level, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
        Int32(MemoryLayout<z_stream>.size))
    precondition(status == Z_OK, "deflateInit2: \(status)")
    defer { deflateEnd(&stream) }
    var output: [UInt8] = []
    let room = Int(deflateBound(&stream, uLong(bytes.count)))
    output.append(addingCapacity: room) { (span: inout OutputSpan<UInt8>) in
        span.withUnsafeMutableBufferPointer { buffer, initializedCount in
            bytes.withUnsafeBufferPointer { input in
                stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
                stream.avail_in = uInt(input.count)
                stream.next_out = buffer.baseAddress! + initializedCount
                stream.avail_out = uInt(room)
                // Within its bound one call does it all (zlib.h, `deflateBound`).
                let status = deflate(&stream, Z_FINISH)
                precondition(status == Z_STREAM_END, "deflate: \(status)")
            }
            initializedCount += room - Int(stream.avail_out)
        }
    }
    return output
}

/// One call of `inflate`, with room for 32 KiB, or one byte more than `limit` in all.
private func inflateSome(_ stream: inout z_stream, into output: inout [UInt8], limit: Int) -> Int32
{
    let room = min(32 << 10, limit - output.count + 1)
    var status = Z_OK
    output.append(addingCapacity: room) { (span: inout OutputSpan<UInt8>) in
        span.withUnsafeMutableBufferPointer { buffer, initializedCount in
            stream.next_out = buffer.baseAddress! + initializedCount
            stream.avail_out = uInt(room)
            status = inflate(&stream, Z_NO_FLUSH)
            initializedCount += room - Int(stream.avail_out)
        }
    }
    return status
}
