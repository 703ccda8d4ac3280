import Glibc
import Model
import TestSupport
import Testing

/// The rules of the house that a compiler does not know.
@Suite("House") struct HouseTests {
  /// Rooms that compute only: no sockets, files, clocks, threads, logging.
  static let pureRooms: Set = [
    "Model", "Bytes", "Records", "KafkaProtocol", "Pages", "Metadata", "Coordination", "Replication",
  ]
  static let shellModules: Set = ["NIOPosix", "Glibc", "Logging", "Foundation", "FoundationEssentials", "Dispatch"]
  /// Modules of the toolchain, which no manifest names.
  static let toolchainModules: Set = ["Swift", "Glibc", "Synchronization", "Dispatch", "Testing", "FoundationEssentials"]
  static let essentialsUsers: Set = ["Cluster", "Gateway", "QuireCLI"]
  static let pageHeadings = [
    "Purpose", "Owns / never knows", "Flow", "Invariants", "Load-bearing details", "Failure", "File map", "Decisions",
  ]
  static let linesMax = 600

  static let manifest = Result { try Manifest(SourceTree.text("Package.swift")) }

  /// Lines of code (not of comments) that contain `word`, as `path:line: text`.
  private func places(of word: String, in files: [SourceTree.File]) -> [String] {
    files.flatMap { file in
      file.code.enumerated().filter { $0.element.contains(word) }.map {
        "\(file.path):\($0.offset + 1): \(file.lines[$0.offset])"
      }
    }
  }

  private func imports(of file: SourceTree.File) -> [String] {
    file.lines.filter { $0.contains("import ") }.compactMap { line in
      line.firstMatch(
        of:
          /^\s*(?:(?:@\w+(?:\(\w+\))?|public|package|internal|fileprivate|private) )*import (?:(?:struct|class|enum|func|protocol|typealias) )?(\w+)/
      )
      .map { String($0.1) }
    }
  }

  @Test("the manifest is read as it is meant")
  func manifestIsRead() throws {
    let targets = try Self.manifest.get().targets
    let storage = try #require(targets.first { $0.name == "Storage" })
    #expect(storage.kind == .room && storage.dependencies.isSuperset(of: ["Model", "SQLite", "NIOCore", "DequeModule"]))
    #expect(!storage.dependencies.contains("NIOPosix"))
    let command = try #require(targets.first { $0.name == "QuireCLI" })
    #expect(command.kind == .executable && command.dependencies.isSuperset(of: ["Node", "ArgumentParser"]))
    let directories = try directoryEntries("\(SourceTree.root)/Sources").filter { SourceTree.isDirectory("Sources/\($0)") }
    #expect(Set(directories).subtracting(targets.map(\.name)) == [], "directories in Sources that Package.swift does not name")
  }

  @Test("a room imports only what Package.swift names for it")
  func layering() throws {
    var violations: [String] = []
    for target in try Self.manifest.get().targets where target.kind != .c && SourceTree.isDirectory(target.path) {
      for file in try SourceTree.swiftFiles(under: target.path) {
        for module in imports(of: file)
        where !target.dependencies.contains(module) && !Self.toolchainModules.contains(module) && module != target.name {
          violations.append("\(file.path) imports \(module), which Package.swift does not name for \(target.name)")
        }
      }
    }
    #expect(violations.isEmpty, "\(violations.joined(separator: "\n"))")
  }

  @Test("pure rooms have no sockets, files, clocks, threads or logging")
  func purity() throws {
    var violations: [String] = []
    for room in Self.pureRooms {
      for file in try SourceTree.swiftFiles(under: "Sources/\(room)") {
        for module in imports(of: file) where Self.shellModules.contains(module) {
          violations.append("\(file.path) imports \(module): \(room) is a pure room")
        }
      }
    }
    #expect(violations.isEmpty, "\(violations.joined(separator: "\n"))")
  }

  @Test("nobody imports Foundation, and its essentials only where there is no other way")
  func noFoundation() throws {
    var violations: [String] = []
    for file in try SourceTree.swiftFiles(under: "Sources") + SourceTree.swiftFiles(under: "Tests") {
      for module in imports(of: file) where module.hasPrefix("Foundation") {
        if module == "FoundationEssentials", Self.essentialsUsers.contains(file.target) { continue }
        violations.append("\(file.path) imports \(module): it costs 40 MB of binary")
      }
    }
    #expect(violations.isEmpty, "\(violations.joined(separator: "\n"))")
  }

  @Test("no source traps where it could throw", arguments: ["try!", "fatalError("])
  func noTraps(word: String) throws {
    let found = places(of: word, in: try SourceTree.swiftFiles(under: "Sources"))
    #expect(
      found.isEmpty, "throw an error, or say with precondition which bug of ours it is:\n\(found.joined(separator: "\n"))")
  }

  @Test("no bare closure lies in a generic box that is looked at: each look wraps it once more, and calls get slower for ever")
  func noClosuresInBoxes() throws {
    let found = try SourceTree.swiftFiles(under: "Sources").flatMap { file in
      file.code.filter { $0.contains(/(Mutex|NIOLockedValueBox)<.*->/) }.map { "\(file.path): \($0)" }
    }
    #expect(found.isEmpty, "put it into a structure:\n\(found.joined(separator: "\n"))")
  }

  @Test(
    "whoever takes checking off the compiler says why it is safe", arguments: ["@unchecked Sendable", "nonisolated(unsafe)"])
  func safeBecause(word: String) throws {
    var violations: [String] = []
    for file in try SourceTree.swiftFiles(under: "Sources") {
      let code = file.code
      for index in code.indices where code[index].contains(word) {
        // In the paragraph above, or as the first line inside.
        let above = file.lines[..<index].reversed().prefix { line in line.contains { !$0.isWhitespace } }.prefix(8)
        let isExplained = (above + file.lines[(index + 1)...].prefix(1)).contains { $0.contains("// Safe because: ") }
        if !isExplained { violations.append("\(file.path):\(index + 1): \(file.lines[index])") }
      }
    }
    #expect(violations.isEmpty, "there is no '// Safe because: …' line beside:\n\(violations.joined(separator: "\n"))")
  }

  @Test("each room has its page, with its headings in their order")
  func pages() throws {
    var violations: [String] = []
    let rooms = try Self.manifest.get().targets.filter { $0.kind == .room || $0.name == "QuireCLI" }
    #expect(rooms.count > 10)
    for room in rooms {
      let path = "Sources/\(room.name)/\(room.name).docc/\(room.name).md"
      guard fileExists("\(SourceTree.root)/\(path)") else {
        violations.append("\(path) is missing")
        continue
      }
      let headings = try SourceTree.file(path).lines.filter { $0.hasPrefix("## ") }.map { String($0.dropFirst(3)) }
      if headings.filter({ Self.pageHeadings.contains($0) }) != Self.pageHeadings {
        violations.append("\(path) has the headings \(headings), but wants \(Self.pageHeadings)")
      }
    }
    #expect(violations.isEmpty, "\(violations.joined(separator: "\n"))")
  }

  @Test("the file maps of the pages name files that exist")
  func fileMaps() throws {
    var violations: [String] = []
    for page in try SourceTree.files(under: "Sources", endings: [".md"]) where page.path.contains(".docc/") {
      let names = Set(
        try SourceTree.files(under: "Sources/\(page.target)", endings: [".swift", ".c", ".h"]).map {
          String($0.path.split(separator: "/").last!)
        })
      guard let start = page.lines.firstIndex(of: "## File map") else { continue }
      for line in page.lines[(start + 1)...].prefix(while: { !$0.hasPrefix("## ") }) {
        for match in line.matches(of: /[\w+\-]+\.swift/) where !names.contains(String(match.0)) && !match.0.hasPrefix("NN-") {
          violations.append("\(page.path) names \(match.0)")
        }
      }
    }
    #expect(violations.isEmpty, "there are no such files:\n\(violations.joined(separator: "\n"))")
  }

  @Test("each function of SQLite that the rooms inside libquire.so call is one of the host's")
  func hostFunctions() throws {
    let host = try SourceTree.text("Sources/CHostSQLite/host.c")
    let listed = host.matches(of: /X\([^,]+, (\w+),/).map { "sqlite3_\($0.1)" }
    let defined = Set(listed + host.matches(of: /sqlite3_\w+/).map { "\($0.0)" })
    #expect(defined.count > 80)
    var calls: [String] = []
    for room in ["SQLite", "Storage", "Indexes", "Query"] {
      for file in try SourceTree.swiftFiles(under: "Sources/\(room)") {
        for line in file.code {
          calls += line.matches(of: /\b(sqlite3_\w+)\(/).map { "\($0.1)" }
        }
      }
    }
    // Structures, which are called to make one.
    let types: Set = ["sqlite3_vfs", "sqlite3_module", "sqlite3_io_methods", "sqlite3_mem_methods"]
    #expect(Set(calls).subtracting(defined).subtracting(types) == [], "these are missing in CHostSQLite")
    #expect(calls.contains("sqlite3_step"))
  }

  @Test("no source file is longer than can be read at once")
  func lengths() throws {
    let files = try SourceTree.files(under: "Sources", endings: [".swift", ".c", ".h"]) + SourceTree.swiftFiles(under: "Tests")
    let long = files.filter { $0.lines.count > Self.linesMax }.map { "\($0.path) has \($0.lines.count) lines" }
    #expect(long.isEmpty, "more than \(Self.linesMax) lines; give a part of it a name:\n\(long.joined(separator: "\n"))")
  }

  @Test("nothing names a place on somebody's machine")
  func noMachinePaths() throws {
    let homes = ["work", "root", "home"].map { "/\($0)/" }
    let endings = [".swift", ".c", ".h", ".md", ".sql", ".py"]
    var files = try ["Sources", "Tests", "migrations"].flatMap { try SourceTree.files(under: $0, endings: endings) }
    files += try ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Package.swift"].map { try SourceTree.file($0) }
    let found = files.flatMap { file in
      file.lines.enumerated().filter { line in homes.contains { line.element.contains($0) } }.map {
        "\(file.path):\($0.offset + 1): \($0.element)"
      }
    }
    #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
  }

  @Test("every configuration key says what it is, and its own default pleases it")
  func configurationKeys() {
    for key in ConfigurationKey.nodeKeys + ConfigurationKey.topicKeys {
      #expect(key.documentation.contains(" "), "\(key.name) has no documentation")
      #expect(key.complaint(about: key.defaultValue) == nil, "\(key.name)")
    }
  }

  @Test("CONFIGURATION.md lists every key with its default and meaning (QUIRE_WRITE_DOCS=1 writes it)")
  func configurationPage() throws {
    func table(_ keys: [ConfigurationKey]) -> [String] {
      ["| key | default | meaning |", "|---|---|---|"]
        + keys.sorted { $0.name < $1.name }.map { key in
          let value = key.defaultValue.isEmpty ? "" : "`\(key.defaultValue)`"
          let meaning = key.documentation.split(separator: "\n").joined(separator: " ").replacing("|", with: "\\|")
          return "| `\(key.name)` | \(value) | \(meaning) |"
        }
    }
    let lines =
      [
        "# Configuration", "",
        "What a node and its topics can be told. A node's key comes from a flag of `quire serve` (`--set KEY=VALUE` for any), else from the environment (`QUIRE_`",
        "and the name in capitals, `_` for dots, without `quire.`), else from the file at `--config`, else it has its default. A topic's key is set",
        "with `quire topic create --topic-config`, `quire topic alter`, or any Kafka client; without one the topic follows the node's key.",
        "",
        "## Topics", "",
      ] + table(ConfigurationKey.topicKeys) + ["", "## Nodes", ""] + table(ConfigurationKey.nodeKeys) + [""]
    try expectPage("CONFIGURATION.md", lines)
  }

  @Test("METRICS.md lists every metric with its kind and meaning (QUIRE_WRITE_DOCS=1 writes it)")
  func metricsPage() throws {
    let rows = Metric.all.map { metric in
      "| `\(metric.name)` | \(metric.kind.rawValue) | \(metric.labels.map { "`\($0)`" }.joined(separator: ", ")) | \(metric.documentation) |"
    }
    try expectPage(
      "METRICS.md",
      [
        "# Metrics", "",
        "What a node serves at `/metrics` on its HTTP port, in Prometheus' text format. A counter begins at 0 when the node starts.",
        "",
        "| metric | kind | labels | meaning |", "|---|---|---|---|",
      ] + rows + [""])
    for metric in Metric.all {
      #expect((metric.kind == .counter) == metric.name.hasSuffix("_total"), "\(metric.name)")
      #expect(metric.documentation.hasSuffix(".") && !metric.documentation.contains("|"), "\(metric.name)")
    }
  }

  /// The page says what the tables of the program say.
  private func expectPage(_ path: String, _ lines: [String]) throws {
    let page = lines.joined(separator: "\n")
    if getenv("QUIRE_WRITE_DOCS") != nil {
      let file = try #require(fopen("\(SourceTree.root)/\(path)", "w"))
      fputs(page, file)
      fclose(file)
    }
    #expect(try SourceTree.text(path) == page)
  }
}
