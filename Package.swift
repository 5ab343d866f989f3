// swift-tools-version: 6.2
import PackageDescription

// Every dependency is here because writing it ourselves would add nothing to log, groups or
// gateway.
let dependencies: [Package.Dependency] = [
    // Options, usage texts and exit status 2 of the `millrace` program.
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    // The logging interface every Swift server library speaks.
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    // SHA-256 of idempotency keys and access tokens, by people who write nothing else.
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    // JSON Web Tokens: signatures by HS256, RS256 and ES256. Brings swift-certificates, swift-asn1.
    .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.1"),
    // Tests only: reads openapi/openapi.yaml, to compare it with the route table.
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
]

/// Swift 6 mode for all; bytes from strangers are handled without `unsafe` where no C is called.
let common: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]
let safe: [SwiftSetting] = common + [.strictMemorySafety()]

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let arguments: Target.Dependency = .product(
    name: "ArgumentParser", package: "swift-argument-parser")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let jwt: Target.Dependency = .product(name: "JWTKit", package: "jwt-kit")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

/// A room's tests sit in `Tests/<Room>Tests` and see what is `package`.
func tests(
    _ room: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []
) -> Target {
    .testTarget(
        name: "\(room)Tests", dependencies: [.target(name: room), "TestSupport"] + dependencies,
        exclude: exclude, swiftSettings: common)
}

/// Only where `Tests/fuzz` asks: everything in such a build is watched by libFuzzer.
let fuzzer: [Target] =
    Context.environment["MILLRACE_FUZZ"] == nil
    ? []
    : [
        .executableTarget(
            name: "millrace-fuzz", dependencies: ["Fuzzing"], path: "Tests/Fuzzer",
            swiftSettings: common + [.enableExperimentalFeature("Extern")])
    ]

let package = Package(
    name: "millrace",
    products: [.executable(name: "millrace", targets: ["millrace"])],
    dependencies: dependencies,
    targets: [
        .target(name: "CPlatform"),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        // HTTP/2 framing and HPACK; Debian's, for its security fixes.
        .systemLibrary(
            name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .target(
            name: "Platform", dependencies: ["CPlatform", "CZlib", crypto], swiftSettings: common),
        .target(name: "JSON", swiftSettings: safe),
        .target(name: "Groups", swiftSettings: safe),
        .target(name: "LogEngine", dependencies: ["Platform"], swiftSettings: safe),
        .target(
            name: "HTTPServer", dependencies: ["CPlatform", "CNghttp2", "Platform"],
            swiftSettings: common),
        .target(
            name: "Backends", dependencies: ["Platform", "LogEngine", "Groups", "JSON", logging],
            swiftSettings: safe),
        .target(
            name: "Access", dependencies: ["Platform", "JSON", crypto, jwt], swiftSettings: safe),
        .target(
            name: "GatewayAPI",
            dependencies: ["Platform", "Backends", "HTTPServer", "JSON", "Access", logging],
            resources: [.embedInCode("openapi.yaml")], swiftSettings: safe),
        .executableTarget(
            name: "millrace",
            dependencies: [
                "Platform", "JSON", "LogEngine", "HTTPServer", "Backends", "Access", "GatewayAPI",
                logging, arguments,
            ], swiftSettings: common),

        .target(
            name: "TestSupport", dependencies: ["Platform"], path: "Tests/TestSupport",
            swiftSettings: common),
        // Schedules by seed: the rooms themselves over simulated time, disks and clients.
        .target(
            name: "Simulation",
            dependencies: ["TestSupport", "Platform", "LogEngine", "Backends", "Groups", logging],
            path: "Tests/Simulation", swiftSettings: common),
        .executableTarget(
            name: "millrace-sim", dependencies: ["Simulation", arguments], path: "Tests/Simulator",
            swiftSettings: common),
        // What must hold of each parser for any bytes.
        .target(
            name: "Fuzzing",
            dependencies: [
                "TestSupport", "Platform", "JSON", "Groups", "LogEngine", "HTTPServer", "Access",
                "Backends", "GatewayAPI",
            ], path: "Tests/Fuzzing", exclude: ["Corpus"], swiftSettings: common),
        tests("Fuzzing"),
        tests("Simulation"),
        tests("Platform"),
        tests("JSON"),
        tests("Groups"),
        tests("LogEngine", ["Platform"], exclude: ["Vectors"]),
        tests("HTTPServer", ["Platform"], exclude: ["Vectors"]),
        tests("Backends", ["Platform", "LogEngine", "Groups", "JSON"]),
        tests("Access", ["Platform", "JSON", crypto, jwt]),
        tests(
            "GatewayAPI",
            ["Platform", "Backends", "LogEngine", "HTTPServer", "JSON", "Access", yams]),
        .testTarget(name: "TidyTests", swiftSettings: common),
    ] + fuzzer
)
