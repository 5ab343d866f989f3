import Access
import Testing

@Suite struct `A rule` {
    @Test(arguments: [
        ("topic:orders=read", "topic:orders=read"),
        ("topic:orders.*=read,write", "topic:orders.*=read,write"),
        ("topic:*=all", "topic:*=all"),
        ("group:billing=join,commit", "group:billing=join,commit"),
        ("group:*=all", "group:*=all"), ("server=metrics", "server=metrics"),
    ])
    func `is read as it is written`(text: String, written: String) throws {
        #expect(try Rule(text).text == written)
    }

    @Test(arguments: [
        "", "=", "topic", "topic:orders", "topic=read", "topic:=read", "topic:a*b=read",
        "topic:*a=read", "topic:**=read", "topic:a=", "topic:a=read,", "topic:a=join",
        "group:a=read", "server:x=metrics", "server=read", "queue:a=read", "topic:a/b=read",
        "topic:ä=read", "topic:a\u{0}=read", "Topic:a=read", "topic:a=READ", "topic:a =read",
    ])
    func `that is none is refused`(text: String) {
        #expect(throws: AccessError.self) { try Rule(text) }
    }

    @Test func `denies even what a narrower one allows`() throws {
        let rules = Rules(
            allow: [try Rule("topic:*=read"), try Rule("topic:pay.x=read,write")],
            deny: [try Rule("topic:pay.*=read")])
        #expect(rules.operations(on: .topic, "orders") == .read)
        #expect(rules.operations(on: .topic, "pay.x") == .write)
        #expect(rules.operations(on: .topic, "pay.y").isEmpty)
        #expect(rules.operations(on: .group, "orders").isEmpty)
    }

    @Test func `of a prefix covers the prefix itself and not what is shorter`() throws {
        let rules = Rules(allow: [try Rule("topic:orders.*=read")])
        #expect(rules.operations(on: .topic, "orders.") == .read)
        #expect(rules.operations(on: .topic, "orders.eu") == .read)
        #expect(rules.operations(on: .topic, "orders").isEmpty)
        #expect(rules.operations(on: .topic, "orders-eu").isEmpty)
    }

    @Test func `is needed: without one nothing is allowed`() {
        for resource in Resource.allCases {
            #expect(Rules().operations(on: resource, "a").isEmpty)
        }
    }
}
