internal import Glibc

extension FrameAppender {
  /// Whether this program and the SQLite it runs with agree about -wal and wal-index: commits of one database are appended to another,
  /// read there through SQLite, checkpointed, and the files have to be the same.
  ///
  /// - Parameter directory: an empty one, which is left with files in it.
  /// - Returns: what is wrong; nil if all is well.
  public static func selfTest(in directory: String) -> String? {
    do throws(SQLiteError) { return try selfTest("\(directory)/written.db", "\(directory)/appended.db") } catch {
      return "\(error)"
    }
  }

  private static func selfTest(_ written: String, _ appended: String) throws(SQLiteError) -> String? {
    for path in [written, appended] {
      let connection = try Connection(path: path, mode: .create)
      try connection.execute(
        "PRAGMA page_size=1024; PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); CREATE INDEX i ON t(b)")
      connection.setCheckpointOnClose(true)
      connection.close()
    }
    let source = try Connection(path: written, mode: .readWrite)
    let appender = try FrameAppender(path: appended)
    let reader = try Connection(path: appended, mode: .readOnly)
    let insert = "INSERT INTO t(b) SELECT hex(randomblob(400)) FROM (VALUES(1), (2), (3), (4), (5), (6), (7), (8))"
    for round in 1...6 {
      try source.execute(round == 5 ? "DELETE FROM t WHERE a % 3 = 0" : insert)
      try copyCommits(written + "-wal", to: appender)
      // Each commit in a log of its own, but for two rounds, which go on behind the one before.
      if round != 2, round != 4 {
        _ = try source.checkpoint(.truncate)
        _ = try appender.checkpoint()
      } else {
        try source.execute(insert)
        _ = try source.checkpoint(.passive)
        try copyCommits(written + "-wal", to: appender, lastOnly: true)
        _ = try source.checkpoint(.truncate)
      }
      let expected = try source.integer("SELECT count(*) + sum(length(b)) FROM t")
      guard try reader.integer("SELECT count(*) + sum(length(b)) FROM t NOT INDEXED") == expected else {
        return "a commit that was appended is not read"
      }
    }
    guard try reader.text("PRAGMA integrity_check") == "ok" else { return "a database that was appended to is damaged" }
    reader.close()
    try appender.sync()
    appender.close()
    let last = try Connection(path: appended, mode: .readWrite)
    _ = try last.integer("SELECT count(*) FROM t")
    for connection in [source, last] {
      connection.setCheckpointOnClose(true)
      connection.close()
    }
    return contents(written) == contents(appended) ? nil : "a database that was appended to is another than the one it is from"
  }

  /// Appends the frames of a -wal, commit by commit, without a look at their checksums: nobody writes to it.
  private static func copyCommits(_ path: String, to appender: FrameAppender, lastOnly: Bool = false) throws(SQLiteError) {
    let bytes = contents(path)
    let frameBytes = frameHeaderBytes + appender.pageSize
    func word(_ at: Int) -> UInt32 { bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    var starts = Array(stride(from: 32, through: bytes.count - frameBytes, by: frameBytes))
    if lastOnly, let previous = starts.dropLast().lastIndex(where: { word($0 + 4) != 0 }) { starts.removeFirst(previous + 1) }
    var latest: [UInt32: Int] = [:]
    for start in starts {
      latest[word(start)] = start
      let pageCount = word(start + 4)
      guard pageCount > 0 else { continue }
      try appender.begin(timeout: .seconds(5))
      for (page, start) in latest.sorted(by: { $0.key < $1.key }) {
        try bytes.withUnsafeBufferPointer { (bytes) throws(SQLiteError) in
          let frame = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[start..<start + frameBytes])
          try appender.write(page: page, UnsafeRawBufferPointer(rebasing: frame[frameHeaderBytes...]))
        }
      }
      try appender.commit(pageCount: pageCount)
      latest = [:]
    }
  }

  /// A file that no connection of this process has open, or a -wal, which has no locks.
  private static func contents(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
    return bytes
  }
}
