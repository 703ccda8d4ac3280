// swift-tools-version: 6.2
import PackageDescription

// The rooms, bottom up. A room may import only what is named here: `tools/test` builds with
// `--explicit-target-dependency-import-check error`, so the layering below is enforced, not hoped for.

// `FUZZ=1` adds the fuzzer, and instruments every room for it: see tools/fuzz.
let isFuzzing = Context.environment["FUZZ"] != nil
let strict: [SwiftSetting] =
  [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    // In our own targets alone, and without a flag of the command line, which would build every dependency anew.
    .treatAllWarnings(as: .error, .when(configuration: .debug)),
  ] + (isFuzzing ? [.unsafeFlags(["-sanitize=fuzzer,address"])] : [])
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let collections: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let metrics: Target.Dependency = .product(name: "CoreMetrics", package: "swift-metrics")

func room(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}
func tests(_ room: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .testTarget(
    name: "\(room)Tests", dependencies: [.byName(name: room), "TestSupport"] + dependencies,
    swiftSettings: strict)
}

let package = Package(
  name: "quire",
  products: [
    .executable(name: "quire", targets: ["QuireCLI"]),
    // What tools/extension links into libquire.so.
    .library(name: "quire-extension", type: .static, targets: ["Extension"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
  ],
  targets: [
    // 0: ground
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .target(
      name: "CCodecs",
      cSettings: isFuzzing ? [.unsafeFlags(["-fsanitize=fuzzer-no-link,address"])] : [],
      linkerSettings: [
        .linkedLibrary("z"), .linkedLibrary("snappy"), .linkedLibrary("lz4"), .linkedLibrary("zstd"),
      ]),
    .target(name: "CEmbed"),
    .target(name: "CEdit"),
    room("Model", []),
    room("Bytes", ["CCodecs", nioCore]),
    room("SQLite", ["CSQLite", "CEmbed", "CCodecs"]),
    // 1: formats
    room("Records", ["Model", "Bytes", "CCodecs", nioCore]),
    room("KafkaProtocol", ["Model", "Bytes", nioCore]),
    room("Pages", ["Model", "Bytes"]),
    // 2: decisions
    room("Metadata", ["Model"]),
    room("Coordination", ["Model"]),
    room("Replication", ["Model"]),
    room("KafkaClient", ["Model", "Bytes", "Records", "KafkaProtocol", nioCore, nioPosix]),
    // 3: data
    room(
      "Storage",
      ["Model", "Bytes", "SQLite", "Records", "Pages", "Replication", "Coordination", nioCore, logging, collections, metrics]),
    // 4
    room(
      "Cluster",
      [
        "Model", "SQLite", "Metadata", "Replication", "Storage", nioCore, nioPosix, logging,
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOFoundationEssentialsCompat", package: "swift-nio"),
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
      ]),
    room("Shipping", ["Model", "Bytes", "Pages", nioCore, nioPosix, logging, metrics]),
    room("Indexes", ["Model", "SQLite", "Records", "Storage", logging]),
    room("Query", ["Model", "SQLite", "Records", "Coordination", "Storage", "Indexes"]),
    // 5
    room("Export", ["Model", "Records", "Query", "SQLite", "CCodecs"]),
    // 6: doors
    room(
      "Broker",
      [
        "Model", "Records", "KafkaProtocol", "Metadata", "Coordination", "Storage", "Cluster", nioCore,
        nioPosix, logging, collections, metrics,
      ]),
    room(
      "Gateway",
      [
        "Model", "SQLite", "Query", "Export", nioCore, nioPosix, logging, metrics,
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ]),
    // A program that has SQLite of its own loads this one: no other product may contain CHostSQLite.
    .target(name: "CHostSQLite", dependencies: ["CSQLite"]),
    room("Extension", ["Model", "SQLite", "CHostSQLite", "Storage", "Query"]),
    // 7: the binary
    room(
      "Node",
      [
        "Model", "SQLite", "Records", "Pages", "Metadata", "Coordination", "Storage", "Shipping", "Cluster", "Indexes", "Query",
        "Broker", "Gateway", nioCore,
        nioPosix, logging, metrics,
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ]),
    .executableTarget(
      name: "QuireCLI",
      dependencies: [
        "CEdit", "Model", "Records", "Pages", "Metadata", "KafkaClient", "Storage", "Query", "Export", "Node", nioCore,
        nioPosix, .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: strict),
    .executableTarget(
      name: "quire-bench", dependencies: ["Model", "SQLite", "Records", "Storage", "Query", "Node", nioCore, logging],
      swiftSettings: strict),
    // tests
    .target(name: "TestSupport", dependencies: ["Bytes", nioCore], path: "Tests/TestSupport", swiftSettings: strict),
    tests("Bytes", ["Model", nioCore]),
    tests("SQLite", ["Bytes", "CSQLite"]),
    tests("Storage", ["Model", "Bytes", "Coordination", "SQLite", "Records", "Pages", nioCore, logging]),
    tests("Records", ["Model", "Bytes", nioCore]),
    tests("Pages", ["Model", "SQLite"]),
    tests("Metadata", ["Model"]),
    tests("Replication", ["Model"]),
    tests("Shipping", ["Model", "Bytes", "Pages", nioCore, nioPosix, logging]),
    tests(
      "Gateway",
      [
        "HistorySupport", "Export", "Model", "Query", nioCore, nioPosix, logging, metrics,
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ]),
    tests("Cluster", ["Model", "SQLite", "Metadata", "Storage", logging, nioCore, nioPosix]),
    tests(
      "Node",
      [
        "HistorySupport", "Coordination", "Model", "Records", "Metadata", "Cluster", "Storage", "Shipping", nioCore, nioPosix,
        logging,
      ]),
    .testTarget(
      name: "BrokerAdminTests",
      dependencies: [
        "Broker", "Storage", "Cluster", "Metadata", "Model", "KafkaProtocol", "TestSupport", logging,
      ], swiftSettings: strict),
    .target(
      name: "HistorySupport", dependencies: ["Model", "Records", "Query", nioCore], path: "Tests/HistorySupport",
      swiftSettings: strict),
    tests(
      "Query",
      ["HistorySupport", "Indexes", "Coordination", "Model", "Records", "SQLite", "Pages", "Storage", nioCore, logging]),
    tests("Export", ["HistorySupport", "Model", "Records", "Query", "SQLite", nioCore]),
    tests("KafkaProtocol", ["FuzzTargets", "Model", "Bytes", nioCore]),
    tests("Coordination", ["Model"]),
    tests(
      "Broker",
      ["Model", "Records", "KafkaProtocol", "Metadata", "Coordination", "Storage", "Cluster", nioCore, nioPosix, logging]),
    .testTarget(
      name: "BrokerGroupsTests",
      dependencies: ["Broker", "Storage", "SQLite", "Model", "Coordination", "KafkaProtocol", "TestSupport", nioCore, logging],
      swiftSettings: strict),
    tests("KafkaClient", ["Model", "Bytes", "Records", "KafkaProtocol", nioCore, nioPosix]),
    tests(
      "QuireCLI",
      [
        "Model", "Pages", "SQLite", "Export", nioCore, nioPosix,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    // decoders under hostile bytes
    .target(
      name: "FuzzTargets",
      dependencies: [
        "HistorySupport", "Model", "Bytes", "Records", "Pages", "KafkaProtocol", "Shipping", "Query", "Export", "Gateway",
        nioCore,
      ],
      path: "Tests/FuzzTargets",
      swiftSettings: strict),
    .testTarget(name: "FuzzTests", dependencies: ["FuzzTargets", "TestSupport"], swiftSettings: strict),
    // what the compiler does not know of the rooms above
    .testTarget(name: "HouseTests", dependencies: ["Model", "TestSupport"], swiftSettings: strict),
  ],
  cLanguageStandard: .c2x
)

if isFuzzing {
  package.targets += [
    .systemLibrary(name: "CFuzz", path: "Tests/CFuzz"),
    .executableTarget(
      name: "quire-fuzz", dependencies: ["CFuzz", "FuzzTargets"], path: "Tests/FuzzDriver", swiftSettings: strict,
      linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]),
  ]
}
