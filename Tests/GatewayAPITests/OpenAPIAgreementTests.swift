import Foundation
import GatewayAPI
import HTTPServer
import Testing
import Yams

/// `openapi/openapi.yaml` is the contract: what the code does and what it says must be the same.
@Suite struct `The OpenAPI file` {
    private typealias Object = [String: Any]

    private func document() throws -> Object {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "openapi/openapi.yaml")
        let text = try String(contentsOf: file, encoding: .utf8)
        #expect(Array(text.utf8) == OpenAPI.document, "the program serves another file")
        return try #require(try Yams.load(yaml: text) as? Object)
    }

    /// Every operation: method and path, with the path's own parameters added to its own.
    private func operations(
        _ document: Object
    ) throws -> [(method: String, path: String, operation: Object, parameters: [Object])] {
        let paths = try #require(document["paths"] as? [String: Object])
        var found: [(method: String, path: String, operation: Object, parameters: [Object])] = []
        for (path, item) in paths {
            let shared = item["parameters"] as? [Object] ?? []
            for (method, operation) in item where method != "parameters" {
                let operation = try #require(operation as? Object)
                let own = operation["parameters"] as? [Object] ?? []
                let all = try (shared + own).map { try resolve($0, document) }
                found.append((method, path, operation, all))
            }
        }
        return found
    }

    private func resolve(_ object: Object, _ document: Object) throws -> Object {
        guard let reference = object["$ref"] as? String else { return object }
        var place: Any = document
        for step in reference.split(separator: "/").dropFirst() {
            place = try #require((place as? Object)?[String(step)], "\(reference)")
        }
        return try #require(place as? Object)
    }

    @Test func `has every route, and no other`() throws {
        let listed = try operations(try document()).map {
            "\($0.method.uppercased()) \($0.path) \($0.operation["operationId"] ?? "")"
        }
        let served = Route.allCases.map { "\($0.method.rawValue) \($0.template) \($0)" }
        #expect(listed.sorted() == served.sorted())
    }

    @Test func `has no status whose name an answer could not tell`() {
        for code in ProblemCode.allCases {
            #expect(reasonPhrase(code.status) != "Status", "\(code.status)")
        }
    }

    @Test func `has each route's query parameters, and no other`() throws {
        for (method, path, operation, parameters) in try operations(try document()) {
            let route = Route.allCases.first { "\($0)" == operation["operationId"] as? String }
            let listed = parameters.filter { $0["in"] as? String == "query" }
                .compactMap { $0["name"] as? String }
            #expect(listed.sorted() == route?.parameters.sorted(), "\(method) \(path)")
        }
    }

    @Test func `has every problem code with its status, and no other`() throws {
        let components = try #require(try document()["components"] as? Object)
        let codes = try #require(components["x-problem-codes"] as? [String: Object])
        var known: [String: Int] = [:]
        for code in ProblemCode.allCases { known[code.rawValue] = code.status }
        for problem in ProtocolProblem.allCases { known[problem.rawValue] = problem.status }
        #expect(codes.compactMapValues { $0["status"] as? Int } == known)
        for code in ProblemCode.allCases {
            #expect(codes[code.rawValue]?["retryable"] as? Bool == code.isRetryable, "\(code)")
        }
    }

    @Test func `names under each answer only codes of that status`() throws {
        let document = try document()
        let components = try #require(document["components"] as? Object)
        let codes = try #require(components["x-problem-codes"] as? [String: Object])
        for (_, path, operation, _) in try operations(document) {
            for (status, answer) in try #require(operation["responses"] as? [String: Object]) {
                let answer = try resolve(answer, document)
                for code in answer["x-problem-codes"] as? [String] ?? [] {
                    let wanted = codes[code]?["status"] as? Int
                    #expect(wanted != nil, "\(path): \(code) is no code")
                    #expect(
                        status == "default" || Int(status) == wanted,
                        "\(path): \(code) under \(status)")
                }
            }
        }
    }
}
