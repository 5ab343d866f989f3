import Foundation
import GatewayAPI
import HTTPServer
import Testing
import Yams

/// `openapi/openapi.yaml` as far as the tests compare it with the program.
struct OpenAPIDocument {
    struct Operation: Equatable {
        var method: String
        var template: String
        var queryParameters: Set<String>
        var codes: Set<String>
    }

    struct Code: Equatable {
        var status: Int
        var isRetryable: Bool
    }

    private let root: [String: Any]

    init(_ text: String) throws {
        root = try #require(Yams.load(yaml: text) as? [String: Any])
    }

    /// The document the program serves.
    static func served() throws -> OpenAPIDocument {
        try OpenAPIDocument(String(decoding: OpenAPI.document, as: UTF8.self))
    }

    func operations() throws -> [Operation] {
        let paths = try #require(root["paths"] as? [String: [String: Any]])
        var operations: [Operation] = []
        for (template, item) in paths {
            let shared = try parameters(item["parameters"])
            for method in ["get", "put", "post", "patch", "delete"] {
                guard let operation = item[method] as? [String: Any] else { continue }
                let own = try parameters(operation["parameters"])
                operations.append(
                    Operation(
                        method: method.uppercased(), template: template,
                        queryParameters: shared.union(own), codes: try codes(operation)))
            }
        }
        return operations
    }

    /// `components.x-problem-codes`.
    func codes() throws -> [String: Code] {
        let components = try #require(root["components"] as? [String: Any])
        let list = try #require(components["x-problem-codes"] as? [String: [String: Any]])
        return try list.mapValues {
            Code(
                status: try #require($0["status"] as? Int),
                isRetryable: try #require($0["retryable"] as? Bool))
        }
    }

    private func parameters(_ list: Any?) throws -> Set<String> {
        let all = try (list as? [[String: Any]] ?? []).map(resolved)
        let query = all.filter { $0["in"] as? String == "query" }
        return Set(query.compactMap { $0["name"] as? String })
    }

    private func codes(_ operation: [String: Any]) throws -> Set<String> {
        let responses = try #require(operation["responses"] as? [String: [String: Any]])
        return Set(
            try responses.values.flatMap { try resolved($0)["x-problem-codes"] as? [String] ?? [] })
    }

    private func resolved(_ node: [String: Any]) throws -> [String: Any] {
        guard let reference = node["$ref"] as? String else { return node }
        var target: Any? = root
        for name in reference.split(separator: "/").dropFirst() {
            target = (target as? [String: Any])?[String(name)]
        }
        return try #require(target as? [String: Any], "\(reference) leads nowhere")
    }
}

@Suite struct `The contract and the program agree` {
    @Test func `in every route`() throws {
        let operations = try OpenAPIDocument.served().operations()
        let written = Set(operations.map { "\($0.method) \($0.template)" })
        let built = Route.allCases.map { "\($0.method.rawValue) \($0.template)" }
        #expect(written == Set(built))
        #expect(Set(built).count == built.count, "each is written once")
    }

    @Test(arguments: Route.allCases)
    func `in the query parameters of each route`(route: Route) throws {
        let operation = try OpenAPIDocument.served().operations().first {
            $0.method == route.method.rawValue && $0.template == route.template
        }
        #expect(try #require(operation).queryParameters == Set(route.parameters))
    }

    @Test func `in every problem code, its status, and whether it can be tried again`() throws {
        var built: [String: OpenAPIDocument.Code] = [:]
        for code in ProblemCode.allCases {
            built[code.rawValue] = .init(status: code.status, isRetryable: code.isRetryable)
        }
        for problem in ProtocolProblem.allCases {
            let code = OpenAPIDocument.Code(
                status: problem.status, isRetryable: problem == .requestTimeout)
            #expect(built[problem.rawValue] == nil || built[problem.rawValue] == code)
            built[problem.rawValue] = code
        }
        #expect(try OpenAPIDocument.served().codes() == built)
    }

    @Test func `and each code stands under some response`() throws {
        let used = try OpenAPIDocument.served().operations().reduce(into: Set<String>()) {
            $0.formUnion($1.codes)
        }
        #expect(used == Set(try OpenAPIDocument.served().codes().keys))
    }

    @Test func `the document served is the one in the repository`() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../openapi/openapi.yaml")
        #expect(try Data(contentsOf: file) == Data(OpenAPI.document))
    }

    @Test func `a reading of another document finds what differs`() throws {
        let text = """
            paths:
              /a/{b}:
                parameters: [{$ref: '#/components/parameters/c'}]
                put:
                  parameters: [{name: d, in: query}, {name: e, in: header}]
                  responses:
                    '404': {x-problem-codes: [gone]}
                    default: {$ref: '#/components/responses/other'}
            components:
              parameters: {c: {name: c, in: query}}
              responses: {other: {x-problem-codes: [odd]}}
              x-problem-codes: {gone: {status: 404, retryable: false}}
            """
        let document = try OpenAPIDocument(text)
        #expect(
            try document.operations() == [
                .init(
                    method: "PUT", template: "/a/{b}", queryParameters: ["c", "d"],
                    codes: ["gone", "odd"])
            ])
        #expect(try document.codes() == ["gone": .init(status: 404, isRetryable: false)])
    }
}
