package import HTTPServer

/// Finds the route of a path: a tree of path segments, made once from the templates.
package struct RouteTree: Sendable {
    /// What a path leads to: the routes there, one per method, and where its variable segments lie.
    package struct Match: Sendable {
        package var routes: [Route]
        /// The first and second variable segment, percent-encoded, as ranges of the head's bytes.
        package var first = 0..<0
        package var second = 0..<0

        package func route(for method: Method) -> Route? {
            let wanted = method == .head ? .get : method
            return routes.first { $0.method == wanted }
        }
    }

    private struct Node {
        var literals: [(segment: [UInt8], node: Int)] = []
        var variable: Int?
        var routes: [Route] = []
    }

    private var nodes = [Node()]

    package init(_ routes: [Route] = Route.allCases) {
        for route in routes { add(route) }
    }

    private mutating func add(_ route: Route) {
        var node = 0
        for segment in route.template.utf8.split(separator: UInt8(ascii: "/")) {
            if segment.first == UInt8(ascii: "{") {
                node = nodes[node].variable ?? addNode { nodes, new in nodes[node].variable = new }
            } else if let known = nodes[node].literals.first(where: {
                $0.segment.elementsEqual(segment)
            }) {
                node = known.node
            } else {
                let literal = [UInt8](segment)
                node = addNode { nodes, new in nodes[node].literals.append((literal, new)) }
            }
        }
        nodes[node].routes.append(route)
    }

    private mutating func addNode(_ link: (inout [Node], Int) -> Void) -> Int {
        link(&nodes, nodes.count)
        nodes.append(Node())
        return nodes.count - 1
    }

    /// Nil where no route has this path. No allocation.
    package func match(_ bytes: [UInt8], path: Range<Int>) -> Match? {
        var node = 0
        var variables = 0
        var match = Match(routes: [])
        var start = path.lowerBound + 1
        while start <= path.upperBound {
            var end = start
            while end < path.upperBound, bytes[end] != UInt8(ascii: "/") { end += 1 }
            if let next = literal(bytes, start..<end, below: node) {
                node = next
            } else if let next = nodes[node].variable, start < end {
                if variables == 0 { match.first = start..<end } else { match.second = start..<end }
                variables += 1
                node = next
            } else {
                return nil
            }
            start = end + 1
        }
        match.routes = nodes[node].routes
        return match.routes.isEmpty ? nil : match
    }

    private func literal(_ bytes: [UInt8], _ segment: Range<Int>, below node: Int) -> Int? {
        for (literal, next) in nodes[node].literals where literal.count == segment.count {
            var index = 0
            while index < literal.count, literal[index] == bytes[segment.lowerBound + index] {
                index += 1
            }
            if index == literal.count { return next }
        }
        return nil
    }
}
