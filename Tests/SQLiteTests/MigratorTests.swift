import Bytes
import Glibc
import SQLite
import TestSupport
import Testing

@Suite("Migrations") struct MigratorTests {
  /// Released files never change: a change is a new number. CRC32C of each file.
  static let locked: [String: UInt32] = [
    "migrations/coordinator/0001-initial.sql": 0x75F8_6594,
    "migrations/node/0001-initial.sql": 0xA0BA_50D7,
    "migrations/segment/0001-initial.sql": 0xA26E_A53F,
  ]

  @Test("the embedded list is the directory, numbered without gaps, and released files are as they were")
  func embeddedFiles() throws {
    let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
    var found: [String] = []
    for family in DatabaseFamily.allCases {
      let names = try directoryEntries("\(root)/migrations/\(family.rawValue)").sorted()
      #expect(names.enumerated().allSatisfy { $1.hasPrefix(("000" + String($0 + 1)).suffix(4) + "-") && $1.hasSuffix(".sql") })
      found += names.map { "migrations/\(family.rawValue)/\($0)" }
    }
    #expect(found.sorted() == EmbeddedFiles.paths.filter { $0.hasPrefix("migrations/") }.sorted())
    for (path, checksum) in Self.locked {
      let bytes = try #require(EmbeddedFiles.bytes(of: path), "\(path) was released and is gone")
      #expect(CRC32C.checksum(bytes) == checksum, "\(path) was released and has changed")
    }
  }

  @Test("a new database gets its application id and version, and is taken again", arguments: DatabaseFamily.allCases)
  func apply(family: DatabaseFamily) throws {
    let connection = try Connection(path: ":memory:", mode: .create)
    try Migrator.apply(family, to: connection)
    try Migrator.apply(family, to: connection)
    #expect(try connection.integer("PRAGMA user_version") == Int64(Migrator.version(of: family)))
    #expect(try connection.integer("PRAGMA application_id") == Int64(family.applicationID))
    #expect(try Migrator.verify(family, of: connection) == Migrator.version(of: family))
  }

  @Test("a database of a newer program is refused, naming file and versions")
  func newer() throws {
    let connection = try Connection(path: ":memory:", mode: .create)
    try Migrator.apply(.segment, to: connection)
    try connection.execute("PRAGMA user_version = 99")
    let error = #expect(throws: MigrationError.self) { try Migrator.apply(.segment, to: connection) }
    #expect(error?.description.contains("99") == true && error?.description.contains(":memory:") == true)
    #expect(try connection.integer("PRAGMA user_version") == 99)
  }

  @Test("a database of something else is refused")
  func foreign() throws {
    let connection = try Connection(path: ":memory:", mode: .create)
    try connection.execute("CREATE TABLE theirs(a)")
    #expect(throws: MigrationError.self) { try Migrator.apply(.node, to: connection) }
    let other = try Connection(path: ":memory:", mode: .create)
    try Migrator.apply(.node, to: other)
    #expect(throws: MigrationError.self) { try Migrator.verify(.coordinator, of: other) }
  }
}
