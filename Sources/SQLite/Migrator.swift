/// The kinds of databases Quire writes, each with its own numbered SQL under `migrations/`.
public enum DatabaseFamily: String, Sendable, CaseIterable {
  case node, segment, coordinator, index

  /// `PRAGMA application_id`: "Qu" and two letters of the family.
  public var applicationID: Int32 {
    switch self {
    case .node: 0x5175_4E44  // QuND
    case .segment: 0x5175_5347  // QuSG
    case .coordinator: 0x5175_434F  // QuCO
    case .index: 0x5175_4958  // QuIX
    }
  }
}

/// Why a database is not one this program can use.
public enum MigrationError: Error, Sendable {
  /// A newer program wrote the file.
  case newer(file: String, version: Int, supported: Int)
  /// The file is a database of something else.
  case foreign(file: String, applicationID: Int32, family: DatabaseFamily)
  case sqlite(SQLiteError)
}

extension MigrationError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .newer(let file, let version, let supported):
      "\(file) has schema version \(version), written by a newer Quire; this one reads up to version \(supported)"
    case .foreign(let file, let id, let family):
      "\(file) is not a \(family.rawValue) database of Quire (application id 0x\(String(UInt32(bitPattern: id), radix: 16)))"
    case .sqlite(let error): error.description
    }
  }
}

/// Brings databases to the schema this program writes: numbered SQL, applied by `user_version`.
public enum Migrator {
  /// The newest version of `family` this program knows.
  public static func version(of family: DatabaseFamily) -> Int { scripts(of: family).count }

  /// Applies what is missing, one transaction a script; a new file gets its application id with the first.
  ///
  /// - Throws: a newer or foreign database is refused and left as it is.
  public static func apply(_ family: DatabaseFamily, to connection: Connection) throws(MigrationError) {
    let scripts = scripts(of: family)
    let current = try verify(family, of: connection, mayBeEmpty: true)
    for number in current..<max(current, scripts.count) {
      do throws(SQLiteError) {
        try connection.transaction { () throws(SQLiteError) in
          try connection.execute(scripts[number])
          try connection.execute("PRAGMA application_id = \(family.applicationID)")
          try connection.execute("PRAGMA user_version = \(number + 1)")
        }
      } catch { throw .sqlite(error) }
    }
  }

  /// Checks that the database is of `family` and of a version this program reads; changes nothing.
  ///
  /// - Returns: the version of its schema.
  @discardableResult
  public static func verify(
    _ family: DatabaseFamily, of connection: Connection, mayBeEmpty: Bool = false
  ) throws(MigrationError) -> Int {
    let version: Int
    let applicationID: Int32
    let isEmpty: Bool
    do throws(SQLiteError) {
      version = Int(try connection.integer("PRAGMA user_version") ?? 0)
      applicationID = Int32(truncatingIfNeeded: try connection.integer("PRAGMA application_id") ?? 0)
      isEmpty = try connection.integer("SELECT count(*) FROM sqlite_schema") == 0
    } catch { throw .sqlite(error) }
    if mayBeEmpty, isEmpty, version == 0, applicationID == 0 { return 0 }
    guard applicationID == family.applicationID, version > 0 else {
      throw .foreign(file: connection.path, applicationID: applicationID, family: family)
    }
    let supported = self.version(of: family)
    guard version <= supported else { throw .newer(file: connection.path, version: version, supported: supported) }
    return version
  }

  /// The scripts of `family`, the first at index 0.
  ///
  /// - Precondition: they are numbered from 0001 without gaps, which a test checks.
  static func scripts(of family: DatabaseFamily) -> [String] {
    EmbeddedFiles.paths.filter { $0.hasPrefix("migrations/\(family.rawValue)/") }.sorted().map {
      String(decoding: EmbeddedFiles.bytes(of: $0)!, as: UTF8.self)
    }
  }
}
