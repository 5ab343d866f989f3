import Backends
import HTTPServer
import JSON
import Platform
struct ProduceRoute {
    let backend: any Backend
    let configuration: GatewayConfiguration
    let time: any TimeSource
    func produce(_ exchange: Exchange, topic name: String, _ query: Query) async throws(Problem) {
        let body: [UInt8]
        do { body = try await exchange.readBody(limit: configuration.maxBodyBytes) } catch { throw Problem(error) }
        let acks: Acks = try query.choice("acks", of: ["none", "leader", "all"]).map { [.none, .leader, .all][$0] } ?? .all
        do throws(BackendError) {
            let topic = try backend.topic(name)
            var b = RecordBatchBuilder()
            b.append(timestamp: time.wallMilliseconds(), key: nil, value: body.span)
            let t = try topic.append(b, to: 0, acks: acks)
            let o = try await topic.acknowledge(t)
            var w = JSONWriter(); w.beginObject(); w.name("offset"); w.integer(o.value); w.endObject()
            exchange.respond(Response(status: 200, contentType: "application/json", body: w.bytes))
        } catch { throw Problem(error) }
    }
}
