import Glibc
import Testing

@testable import Query

/// Statements as people write them, over two topics and over plain tables with the same rows: `Tests/Fixtures/sql/statements.sql`, which
/// `tools/compat/doors` asks through every door.
private enum Statements {
  static let all: [String] = {
    let folder = #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Fixtures/sql"
    guard let file = fopen("/\(folder)/statements.sql", "r") else { return [] }
    defer { fclose(file) }
    var lines: [String] = []
    var line: UnsafeMutablePointer<CChar>?
    var room = 0
    while getline(&line, &room, file) >= 0, let line { lines.append(String(String(cString: line).dropLast())) }
    free(line)
    return lines.filter { !$0.isEmpty && !$0.hasPrefix("--") }
  }()
}

@Suite("Three hundred statements answer as over plain tables")
struct StatementTests {
  @Test("there are as many as that")
  func count() { #expect(Set(Statements.all).count >= 300) }

  @Test("each gives the same rows in the same order", arguments: Array(stride(from: 0, to: Statements.all.count, by: 20)))
  func statements(from first: Int) throws {
    for sql in Statements.all[first..<min(first + 20, Statements.all.count)] {
      try DifferentialTests.world.compare(sql, isOrdered: true)
    }
  }
}
