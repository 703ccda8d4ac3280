internal import Glibc
internal import Model
internal import SQLite

extension Doctor {
  /// What was found so far.
  struct Examination {
    private(set) var summary = Summary()
    private(set) var findings: [Finding] = []
    /// Batches and pages of one file that are named one by one; of the rest only their number is said.
    private static let findingsPerFileMax = 100
    private var fileCount: (file: String, count: Int) = ("", 0)

    mutating func found(_ finding: Finding) {
      if finding.severity == .damage { summary.damages += 1 } else { summary.notices += 1 }
      if finding.file != fileCount.file { endFile(next: finding.file) }
      fileCount.count += 1
      if fileCount.count <= Self.findingsPerFileMax { findings.append(finding) }
    }

    private mutating func endFile(next: String) {
      let rest = fileCount.count - Self.findingsPerFileMax
      if rest > 0 {
        findings.append(Finding(fileCount.file, "there are \(rest) further findings in this file", remedy: "see those above"))
      }
      fileCount = (next, 0)
    }

    mutating func count(batches: Int, records: Int, bytes: Int) {
      summary.batches += batches
      summary.records += records
      summary.batchBytes += bytes
    }
    mutating func countPartition() { summary.partitions += 1 }

    /// Hands on what was found.
    mutating func flush(_ report: (Finding) -> Void) {
      endFile(next: "")
      for finding in findings { report(finding) }
      findings = []
    }

    /// Takes over what a second look found.
    mutating func add(_ other: Examination) {
      summary += other.summary
      endFile(next: "")
      var other = other
      other.endFile(next: "")
      findings += other.findings
    }

    /// Opens a database, checks whose it is and its structure, and then runs `body`.
    ///
    /// - Returns: what `body` returned; nil if it could not be read, which has been noted.
    mutating func database<R>(
      _ path: String, _ family: DatabaseFamily, _ body: (Connection, inout Examination) throws(SQLiteError) -> R
    ) -> R? {
      summary.databases += 1
      let before = FileStamp(path)
      var first = self
      let result = first.attempt(path, family, mode: before.hasWAL ? .readOnly : .immutable, body)
      // Somebody wrote to what was read as immutable: what was found is worth nothing.
      if !before.hasWAL, FileStamp(path) != before { return attempt(path, family, mode: .readOnly, body) }
      self = first
      return result
    }

    /// As above, for bodies that find nothing.
    mutating func database<R>(_ path: String, _ family: DatabaseFamily, _ body: (Connection) throws(SQLiteError) -> R) -> R? {
      database(path, family) { (connection, _) throws(SQLiteError) in try body(connection) }
    }

    private mutating func attempt<R>(
      _ path: String, _ family: DatabaseFamily, mode: Connection.Mode,
      _ body: (Connection, inout Examination) throws(SQLiteError) -> R
    ) -> R? {
      if FileSystem.size(of: path) == 0 {
        found(Finding(path, "the file is empty", remedy: Remedy.restoreFile))
        return nil
      }
      do throws(SQLiteError) {
        let connection = try Connection(path: path, mode: mode)
        // A node that checkpoints or recovers holds its locks for milliseconds.
        connection.setBusyTimeout(milliseconds: 5_000)
        try connection.execute("PRAGMA mmap_size=0; PRAGMA query_only=1; PRAGMA cell_size_check=1")
        try acceptTruncation(of: connection)
        guard verify(family, of: connection) else { return nil }
        try checkStructure(connection)
        return try body(connection, &self)
      } catch {
        found(Finding(path, error.words(about: path), remedy: error.remedy))
        return nil
      }
    }

    /// SQLite reads nothing of a file that is shorter than its header says, unless the schema is writable: then it reads what is
    /// there, and the batches that are lost can be named.
    private mutating func acceptTruncation(of connection: Connection) throws(SQLiteError) {
      do throws(SQLiteError) { _ = try connection.integer("SELECT count(*) FROM sqlite_schema") } catch {
        guard error.primaryCode == corrupt else { throw error }
        try connection.execute("PRAGMA writable_schema=1")
        _ = try connection.integer("SELECT count(*) FROM sqlite_schema")
        let size = FileSystem.size(of: connection.path) ?? 0
        found(
          Finding(
            connection.path, "the file is truncated: it has \(size) bytes, and its header says more", remedy: Remedy.restoreFile
          ))
      }
    }

    private mutating func verify(_ family: DatabaseFamily, of connection: Connection) -> Bool {
      do throws(MigrationError) {
        try Migrator.verify(family, of: connection)
        return true
      } catch {
        switch error {
        case .newer(_, let version, let supported):
          let problem = "the schema has version \(version), written by a newer Quire; this one reads up to version \(supported)"
          found(Finding(connection.path, problem, remedy: "examine it with the version of Quire that wrote it"))
        case .foreign(_, let id, _):
          let digits = String(UInt32(bitPattern: id), radix: 16)
          found(
            Finding(
              connection.path, "this is not a \(family.rawValue) database of Quire (application id 0x\(digits))",
              remedy: "if it was put here by mistake take it away, else restore the file from a copy"))
        case .sqlite(let error):
          found(Finding(connection.path, error.words(about: connection.path), remedy: error.remedy))
        }
        return false
      }
    }

    private mutating func checkStructure(_ connection: Connection) throws(SQLiteError) {
      var lines: [String] = []
      do throws(SQLiteError) {
        let rows = try connection.prepare("PRAGMA integrity_check(\(Self.findingsPerFileMax))")
        while try rows.step() { lines += (rows.text(at: 0) ?? "").split(separator: "\n").map { String($0) } }
        // A headline.
        lines.removeAll { $0.hasPrefix("*** ") }
      } catch {
        guard error.isCorruption else { throw error }
        lines.append(error.words(about: connection.path))
      }
      // One finding a file: what follows from it, batch by batch, is found below.
      guard let first = lines.first, lines != ["ok"] else { return }
      let rest = lines.count > 1 ? " (and \(lines.count - 1) more)" : ""
      found(Finding(connection.path, "PRAGMA integrity_check: \(first)\(rest)", remedy: Remedy.restoreFile))
    }
  }

  /// Remedies that more than one finding has.
  enum Remedy {
    static let restoreFile = "restore the file from a copy while no node runs"
    static func skip(to offset: Int64) -> String {
      "restore the segment from a copy, or let consumers go on at offset \(offset)"
    }
    static let leftover = "nothing is lost, and the next start removes it"
  }

  /// What tells whether somebody wrote to a database meanwhile. (stat only: opening and closing it would drop SQLite's locks.)
  struct FileStamp: Equatable {
    private var size: Int = -1
    private var inode: UInt = 0
    private var seconds = 0
    private var nanoseconds = 0
    /// There may be commits beside the file.
    let hasWAL: Bool

    init(_ path: String) {
      var status = stat()
      if stat(path, &status) == 0 {
        size = Int(status.st_size)
        inode = UInt(status.st_ino)
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
      }
      hasWAL = (FileSystem.size(of: path + "-wal") ?? 0) > 0
    }
  }
}

/// SQLITE_CORRUPT.
private let corrupt: CInt = 11

extension SQLiteError {
  /// SQLite's words without the path in front of them, which the finding names.
  func words(about path: String) -> String {
    let prefix = "\(path): "
    let words = message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : message
    return "\(isCorruption ? "" : "it cannot be read: ")\(words) (SQLite result code \(code))"
  }
  fileprivate var remedy: String {
    isCorruption ? Doctor.Remedy.restoreFile : "check permissions and the disk, and examine it again"
  }
}
