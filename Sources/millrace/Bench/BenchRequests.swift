/// What is sent to a server, and written once for every way it is sent.
struct BenchRequest {
    var method = "GET"
    var path: String
    var body = ""
    var fields = ""

    var bytes: [UInt8] {
        let type = body.isEmpty ? "" : "content-type: application/json\r\n"
        let head =
            "\(method) \(path) HTTP/1.1\r\nhost: bench\r\n\(type)\(fields)content-length: "
            + "\(body.utf8.count)\r\n\r\n"
        return Array((head + body).utf8)
    }
}

/// The same work in each server's words; nil where DESIGN.md §7 does not compare it.
extension BenchServer {
    static let value =
        "{\"order\":123456,\"customer\":\"alice\",\"total\":42.5,\"items\":[\"a\",\"b\"],"
        + "\"note\":\"a record of about 120 bytes\"}"

    /// What must be there before the first case.
    var preparations: [BenchRequest] {
        switch kind {
        case .millrace:
            ["single", "batch-100", "batch-1000", "history", "poll", "stream", "crowd"].map {
                BenchRequest(method: "PUT", path: "/v1/topics/\($0)", body: "{}")
            }
        case .webdis: [BenchRequest(method: "PUT", path: "/FUNCTION/LOAD", body: Self.functions)]
        case .constant, .nchan: []
        }
    }

    /// A batch in one command, a line a record, at ids 0-1, 0-2, and so on; and a page of them,
    /// flat, for webdis 0.1.9 answers XRANGE with nulls.
    private static let functions = """
        #!lua name=bench
        redis.register_function('append', function(keys, arguments)
          for value in arguments[1]:gmatch('[^\\n]+') do
            redis.call('XADD', keys[1], '0-*', 'v', value)
          end
          return 1
        end)
        redis.register_function('page', function(keys, arguments)
          local page = {}
          for _, entry in ipairs(
              redis.call('XRANGE', keys[1], arguments[1], '+', 'COUNT', '1000')) do
            page[#page + 1] = entry[1]
            page[#page + 1] = entry[2][2]
          end
          return page
        end)
        """

    func single(acks: String) -> BenchRequest? {
        switch kind {
        case .millrace, .constant: produce("single", [Self.value], acks: acks)
        case .webdis:
            acks == "all"
                ? BenchRequest(method: "PUT", path: "/XADD/single/*/v", body: Self.value) : nil
        case .nchan: acks == "leader" ? publish("single", Self.value) : nil
        }
    }

    func batch(_ topic: String, count: Int) -> BenchRequest? {
        let values = Array(repeating: Self.value, count: count)
        switch kind {
        case .millrace: return produce(topic, values, acks: "all")
        case .webdis:
            let body = values.joined(separator: "\n")
            return BenchRequest(method: "PUT", path: "/FCALL/append/1/\(topic)", body: body)
        case .constant, .nchan: return nil
        }
    }

    /// 1,000 records of `history`.
    func page(from offset: Int) -> BenchRequest? {
        switch kind {
        case .millrace:
            BenchRequest(
                path: "/v1/topics/history/partitions/0/records?offset=\(offset)&maxBytes=16000000")
        case .webdis: BenchRequest(path: "/FCALL/page/1/history/0-\(offset + 1)")
        case .constant, .nchan: nil
        }
    }

    /// One record, for those who wait for it.
    func publish(_ topic: String, _ value: String) -> BenchRequest? {
        switch kind {
        case .millrace: produce(topic, [value], acks: "all")
        case .nchan: BenchRequest(method: "POST", path: "/publish/\(topic)", body: value)
        case .constant, .webdis: nil
        }
    }

    /// Waits for the record at `offset`, as `client` does whose last answer brought the one before.
    func poll(_ topic: String, _ offset: Int, _ client: BenchClient) -> BenchRequest? {
        switch kind {
        case .millrace:
            return BenchRequest(
                path: "/v1/topics/\(topic)/partitions/0/records?offset=\(offset)&waitMs=30000")
        case .nchan:
            var fields = ""
            if let time = client.field("last-modified"), let tag = client.field("etag") {
                fields = "if-modified-since: \(time)\r\nif-none-match: \(tag)\r\n"
            }
            return BenchRequest(path: "/subscribe/\(topic)", fields: fields)
        case .constant, .webdis: return nil
        }
    }

    func stream(_ topic: String) -> BenchRequest? {
        let path = kind == .millrace ? "/v1/topics/\(topic)/records" : "/subscribe/\(topic)"
        guard kind == .millrace || kind == .nchan else { return nil }
        return BenchRequest(path: path, fields: "accept: text/event-stream\r\n")
    }

    /// How many records `topic` holds, as the server tells it; nil where it stores none.
    /// nchan counts those of all topics.
    func stored(_ topic: String) throws(Failure) -> Int? {
        let (path, mark) =
            switch kind {
            case .millrace: ("/v1/topics/\(topic)", "\"highWatermark\":")
            case .webdis: ("/XLEN/\(topic)", "{\"XLEN\":")
            case .nchan: ("/status", "total published messages: ")
            case .constant: ("", "")
            }
        if path.isEmpty { return nil }
        let answer = try BenchClient(port: port).exchange(BenchRequest(path: path).bytes)
        guard let count = numbers(after: mark, in: answer.body).first else {
            throw Failure("\(kind.name) does not tell how many records it holds")
        }
        return count
    }

    private func produce(_ topic: String, _ values: [String], acks: String) -> BenchRequest {
        let records = values.map { "{\"value\":\($0)}" }.joined(separator: ",")
        return BenchRequest(
            method: "POST", path: "/v1/topics/\(topic)/records?acks=\(acks)",
            body: "{\"records\":[\(records)]}")
    }
}
