import CNghttp2

/// The one owner of an `nghttp2_session`: frames, HPACK, flow control and stream states of one
/// connection, without I/O. Bytes that came go in, events and bytes to send come out.
///
/// Callbacks only append to `events` and copy bodies; whoever calls takes the events afterwards.
final class FrameCodec {
    enum Event {
        /// A request's head is complete; `isWhole`: no body follows.
        case request(Int32, FieldBlock, isWhole: Bool)
        case body(Int32, [UInt8])
        case bodyEnded(Int32)
        /// DATA of an answer left; `wasCutShort`: a window allowed no more.
        case sentBody(Int32, byteCount: Int, wasCutShort: Bool)
        /// The answer is complete.
        case sentEnd(Int32)
        /// A stream was reset by us.
        case sentReset(HTTP2Error)
        /// Nothing more comes or goes on this stream.
        case closed(Int32)
    }

    private var session: OpaquePointer?
    private let limits: Limits
    private var events: [Event] = []
    private var block = FieldBlock()
    private var bodies: [Int32: OutgoingBody] = [:]
    /// Bytes of bodies that wait for a window.
    private(set) var unsentBytes = 0

    /// What of an answer's body waits, `bytes` from `start` on.
    private struct OutgoingBody {
        var bytes: [UInt8]
        var start = 0
        var isEnded: Bool
        /// The library was told to ask no more until there is something.
        var isDeferred = false

        var count: Int { bytes.count - start }
    }

    /// 1.52.0, and of it Debian's later revisions: those before them lack the limit of resets
    /// (CVE-2023-44487) and do not link. `deploy/install` asks for the revision itself.
    static func checkLibrary() throws(ServerError) {
        guard nghttp2_version(0x01_34_00) == nil else { return }
        let version = nghttp2_version(0).map { String(cString: $0.pointee.version_str) }
        throw ServerError("libnghttp2 \(version ?? "") is too old; 1.52.0 or later is needed")
    }

    init(_ limits: Limits) {
        self.limits = limits
        var callbacks: OpaquePointer?
        var options: OpaquePointer?
        nghttp2_session_callbacks_new(&callbacks)
        nghttp2_option_new(&options)
        defer {
            nghttp2_session_callbacks_del(callbacks)
            nghttp2_option_del(options)
        }
        Self.setCallbacks(callbacks)
        // A handler's reading opens the windows, see `consume`.
        nghttp2_option_set_no_auto_window_update(options, 1)
        nghttp2_option_set_stream_reset_rate_limit(
            options, UInt64(limits.resets.burst), UInt64(limits.resets.perSecond))
        nghttp2_session_server_new2(
            &session, callbacks, Unmanaged.passUnretained(self).toOpaque(), options)
        precondition(session != nil, "no memory for a session")
        submitSettings()
    }

    deinit { nghttp2_session_del(session) }

    private func submitSettings() {
        let settings = [
            (NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.concurrentStreams),
            (NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.streamWindowBytes),
            (NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.headBytes),
        ].map { nghttp2_settings_entry(settings_id: Int32($0.0.rawValue), value: UInt32($0.1)) }
        nghttp2_submit_settings(session, noFlags, settings, settings.count)
        nghttp2_session_set_local_window_size(
            session, noFlags, 0, Int32(limits.connectionWindowBytes))
    }

    // MARK: - Hot path

    /// Takes bytes that came; false where the connection cannot go on.
    func receive(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
        bytes.withUnsafeBufferPointer {
            let part = UnsafeBufferPointer(rebasing: $0[range])
            return nghttp2_session_mem_recv(session, part.baseAddress, part.count) >= 0
        }
    }

    /// Appends frames to `output` until it holds `limit` bytes; false where the connection cannot
    /// go on.
    func send(into output: inout [UInt8], upTo limit: Int) -> Bool {
        while output.count < limit {
            var frame: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(session, &frame)
            if count < 0 { return false }
            guard count > 0, let frame else { return true }
            output.append(contentsOf: UnsafeBufferPointer(start: frame, count: count))
        }
        return true
    }

    /// The events since the last call.
    func takeEvents() -> [Event] {
        var taken: [Event] = []
        swap(&taken, &events)
        return taken
    }

    var wantsToSend: Bool { nghttp2_session_want_write(session) != 0 }
    /// Its last frame went out and it takes no more.
    var isOver: Bool { nghttp2_session_want_read(session) == 0 && !wantsToSend }

    /// Opens the windows by what a handler took.
    func consume(_ stream: Int32, _ byteCount: Int) {
        nghttp2_session_consume(session, stream, byteCount)
    }

    /// Of a body nobody will take: others may have their share of the connection's window.
    func consumeConnection(_ byteCount: Int) {
        nghttp2_session_consume_connection(session, byteCount)
    }

    // MARK: - Answers

    /// An answer that is no final one (RFC 9110 §15.2).
    func submitInformational(_ stream: Int32, _ fields: ResponseFields) {
        fields.withNameValues {
            _ = nghttp2_submit_headers(
                session, noFlags, stream, nil, $0.baseAddress, $0.count,
                nil)
        }
    }

    /// An answer's head. With `body` it is followed by that much, and by what `append` brings until
    /// `end`; without, it is all there is.
    func submit(_ stream: Int32, _ fields: ResponseFields, body: [UInt8]?, isEnded: Bool) {
        fields.withNameValues { values in
            guard let body else {
                _ = nghttp2_submit_response(session, stream, values.baseAddress, values.count, nil)
                return
            }
            unsentBytes += body.count
            bodies[stream] = OutgoingBody(bytes: body, isEnded: isEnded)
            var source = nghttp2_data_provider()
            source.read_callback = { _, stream, buffer, length, flags, _, user in
                codec(user).take(stream, into: buffer!, length, flags!)
            }
            let status = nghttp2_submit_response(
                session, stream, values.baseAddress, values.count, &source)
            if status != 0 { forget(stream) }
        }
    }

    func append(_ stream: Int32, _ bytes: [UInt8]) {
        guard bodies[stream] != nil else { return }
        unsentBytes += bytes.count
        bodies[stream]!.bytes.append(contentsOf: bytes)
        resume(stream)
    }

    func end(_ stream: Int32) {
        guard bodies[stream] != nil else { return }
        bodies[stream]!.isEnded = true
        resume(stream)
    }

    private func resume(_ stream: Int32) {
        guard bodies[stream]!.isDeferred else { return }
        bodies[stream]!.isDeferred = false
        nghttp2_session_resume_data(session, stream)
    }

    /// Bytes of one stream's body that wait.
    func unsentBytes(_ stream: Int32) -> Int { bodies[stream]?.count ?? 0 }

    private func forget(_ stream: Int32) {
        if let body = bodies.removeValue(forKey: stream) { unsentBytes -= body.count }
    }

    // MARK: - Its end

    func reset(_ stream: Int32, _ error: HTTP2Error) {
        nghttp2_submit_rst_stream(
            session, noFlags, stream, error.rawValue)
    }

    /// GOAWAY, behind which nothing is sent or taken.
    func terminate(_ error: HTTP2Error) {
        nghttp2_session_terminate_session(session, error.rawValue)
    }

    /// Says that there will be a GOAWAY (RFC 9113 §6.8): streams on their way still count.
    func announceEnd() { nghttp2_submit_shutdown_notice(session) }

    /// No stream beyond those that came is taken.
    func refuseNewStreams() {
        nghttp2_submit_goaway(
            session, noFlags,
            nghttp2_session_get_last_proc_stream_id(session), HTTP2Error.noError.rawValue, nil, 0)
    }

    // MARK: - Callbacks

    private static func setCallbacks(_ callbacks: OpaquePointer?) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, _, user in
            codec(user).block = FieldBlock()
            return 0
        }
        nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _, frame, name, nameCount, value, valueCount, _, user in
            let codec = codec(user)
            // Trailers are dropped, as those of HTTP/1.1.
            if frame!.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
                codec.block.append(
                    UnsafeBufferPointer(start: name, count: nameCount),
                    UnsafeBufferPointer(start: value, count: valueCount), codec.limits)
            }
            return 0
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
            _, _, stream, bytes, count, user in
            let chunk = Array(UnsafeBufferPointer(start: bytes, count: count))
            codec(user).events.append(.body(stream, chunk))
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
            codec(user).frameCame(frame!.pointee)
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
            codec(user).frameWent(frame!.pointee)
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, _, user in
            let codec = codec(user)
            codec.forget(stream)
            codec.events.append(.closed(stream))
            return 0
        }
    }

    private func frameCame(_ frame: nghttp2_frame) {
        let header = frame.hd
        let isEnd = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
        switch UInt32(header.type) {
        case NGHTTP2_HEADERS.rawValue where frame.headers.cat == NGHTTP2_HCAT_REQUEST:
            events.append(.request(header.stream_id, block, isWhole: isEnd))
            block = FieldBlock()
        case NGHTTP2_HEADERS.rawValue, NGHTTP2_DATA.rawValue:
            if isEnd { events.append(.bodyEnded(header.stream_id)) }
        default: break
        }
    }

    private func frameWent(_ frame: nghttp2_frame) {
        let header = frame.hd
        switch UInt32(header.type) {
        case NGHTTP2_HEADERS.rawValue, NGHTTP2_DATA.rawValue:
            if header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 {
                events.append(.sentEnd(header.stream_id))
            }
        case NGHTTP2_RST_STREAM.rawValue:
            let error = HTTP2Error(rawValue: frame.rst_stream.error_code)
            events.append(.sentReset(error ?? .internalError))
        default: break
        }
    }

    /// Copies what a frame may carry.
    fileprivate func take(
        _ stream: Int32, into buffer: UnsafeMutablePointer<UInt8>, _ length: Int,
        _ flags: UnsafeMutablePointer<UInt32>
    ) -> Int {
        guard bodies[stream] != nil else {
            return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
        }
        let waiting = bodies[stream]!.count
        guard waiting > 0 || bodies[stream]!.isEnded else {
            bodies[stream]!.isDeferred = true
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
        let count = min(length, waiting)
        let start = bodies[stream]!.start
        bodies[stream]!.bytes.withUnsafeBufferPointer {
            buffer.update(from: $0.baseAddress! + start, count: count)
        }
        advance(&bodies[stream]!, count)
        unsentBytes -= count
        let wasCutShort = waiting > count
        if !wasCutShort, bodies[stream]!.isEnded { flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue }
        events.append(.sentBody(stream, byteCount: count, wasCutShort: wasCutShort))
        return count
    }

    private func advance(_ body: inout OutgoingBody, _ count: Int) {
        body.start += count
        if body.start == body.bytes.count {
            body.bytes = []
            body.start = 0
        } else if body.start > 64 << 10, body.start > body.bytes.count / 2 {
            body.bytes.removeFirst(body.start)
            body.start = 0
        }
    }
}

private let noFlags = UInt8(NGHTTP2_FLAG_NONE.rawValue)

/// The codec that a callback belongs to.
private func codec(_ user: UnsafeMutableRawPointer?) -> FrameCodec {
    Unmanaged<FrameCodec>.fromOpaque(user!).takeUnretainedValue()
}

/// Status and fields of an answer, names in lower case.
struct ResponseFields {
    private var bytes: [UInt8] = []
    private var counts: [(name: Int, value: Int)] = []

    init(status: Int) { append(":status", "\(status)") }

    var byteCount: Int { bytes.count }

    /// RFC 9110 §5.5: no value carries a byte that ends a line or a string.
    mutating func append(_ name: String, _ value: String) {
        bytes.append(contentsOf: name.utf8)
        let start = bytes.count
        bytes.append(contentsOf: value.utf8)
        for index in start..<bytes.count where bytes[index] < 0x20 || bytes[index] == 0x7F {
            bytes[index] = UInt8(ascii: "?")
        }
        counts.append((name.utf8.count, bytes.count - start))
    }

    fileprivate func withNameValues(_ body: (UnsafeBufferPointer<nghttp2_nv>) -> Void) {
        bytes.withUnsafeBufferPointer { buffer in
            var at = UnsafeMutablePointer(mutating: buffer.baseAddress!)
            let values = counts.map { name, value in
                defer { at += name + value }
                return nghttp2_nv(
                    name: at, value: at + name, namelen: name, valuelen: value,
                    flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
            }
            values.withUnsafeBufferPointer(body)
        }
    }
}
