internal import Model
internal import Pages
internal import SQLite

/// Copies a shard of the coordinator whose -wal is not trusted into a new file of the next generation, page by page.
///
/// Rows of groups have no checksums of their own, but the frames of a -wal have: each page is taken from the newest frame of a commit that was
/// durable, which the chain of checksums vouches for, or from the file, which is what it was before those. Commits behind them are left out.
enum CoordinatorRebuild {
  /// - Parameter sequence: of the last commit that was durable.
  /// - Returns: the new file's name; it is durable.
  /// - Throws: `.damaged` where the pages of that commit are not there; nothing was changed.
  static func rebuild(
    _ name: SegmentName, in directory: String, upTo sequence: Int64
  ) throws(StorageError) -> SegmentName {
    let path = "\(directory)/\(name.fileName)"
    let next = SegmentName(baseOffset: name.baseOffset, generation: name.generation + 1)
    let target = "\(directory)/\(next.fileName)"
    let draft = target + ".tmp"
    try SegmentBuilder.removeDatabase(draft)
    do throws(StorageError) {
      try copy(path, to: draft, upTo: sequence)
      try finish(draft, path, generation: next.generation, sequence: sequence)
      try SegmentBuilder.install(draft, as: target)
    } catch {
      try? SegmentBuilder.removeDatabase(draft)
      throw error
    }
    try FileSystem.syncDirectory(directory)
    return next
  }

  private static func damaged(_ path: String, _ reason: String) -> StorageError {
    .damaged(StorageDamage(file: path, baseOffset: nil, offset: nil, reason: reason))
  }

  private static func copy(_ path: String, to draft: String, upTo sequence: Int64) throws(StorageError) {
    let source = try OfflineConnection.openLog(path, isImmutable: false)
    // Nobody folds the -wal meanwhile.
    let root = try storage { () throws(SQLiteError) in
      try source.execute("BEGIN")
      return try source.integer("SELECT rootpage FROM sqlite_schema WHERE name = '\(SegmentPosition.table)'") ?? 0
    }
    defer { source.rollback() }
    let first = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    defer { first.deallocate() }
    try storage { () throws(SQLiteError) in try source.readDatabaseFile(at: 0, into: first) }
    guard root > 0, let header = DatabaseHeader(UnsafeRawBufferPointer(first)) else { throw damaged(path, "it is no database") }
    let size = header.pageSize.bytes
    let found = try durableFrames(path, SegmentPosition(header, page: PageNumber(UInt32(root))), size, upTo: sequence)
    guard let pageCount = found.pageCount ?? header.pageCount else { throw damaged(path, "it does not say how long it is") }
    let file = try DraftFile(draft)
    let page = UnsafeMutableRawBufferPointer(rebasing: first[..<size])
    for number in 1...UInt32(max(1, pageCount)) where PageNumber(number) != header.pageSize.lockPage {
      let offset = PageNumber(number).byteOffset(pageSize: header.pageSize)
      if let place = found.places[PageNumber(number)] {
        guard try found.log?.read(place, page) == size else { throw damaged(path, "its -wal was cut off") }
      } else {
        try storage { () throws(SQLiteError) in try source.readDatabaseFile(at: Int64(offset), into: page) }
      }
      try file.write(UnsafeRawBufferPointer(page), at: offset)
    }
  }

  /// Where in the -wal the newest version of each page lies, as of the commit.
  private static func durableFrames(
    _ path: String, _ position: SegmentPosition, _ size: Int, upTo sequence: Int64
  ) throws(StorageError) -> (log: LogFile?, places: [PageNumber: Int], pageCount: Int?) {
    guard let log = try LogFile(path + "-wal"), case .success(let header) = try WALReader.header(read: log.read) else {
      return (nil, [:], nil)
    }
    var places: [PageNumber: Int] = [:]
    var pageCount: Int?
    var reader = WALReader(from: WALChain(header))
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
    defer { room.deallocate() }
    while case .commit(let commit) = try reader.next(read: log.read) {
      func place(_ frame: WALFrame) -> Int { header.byteOffset(ofFrame: frame.index) + WALHeader.frameHeaderByteCount }
      guard let state = commit.pages.first(where: { $0.page == position.page }), try log.read(place(state), room) == size,
        let after = position.read(UnsafeRawBufferPointer(room))
      else { throw damaged(path, "a commit in its -wal has no position") }
      if after.commitSequence > sequence { break }
      for frame in commit.pages { places[frame.page] = place(frame) }
      pageCount = commit.pageCount
    }
    return (log, places, pageCount)
  }

  /// Makes the copy one of the next generation, if it is whole.
  private static func finish(
    _ draft: String, _ path: String, generation: Int64, sequence: Int64
  ) throws(StorageError) {
    let connection = try storage { () throws(SQLiteError) in
      let connection = try Connection(path: draft, mode: .readWrite)
      try connection.execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF")
      return connection
    }
    try LogSchema.verify(connection)
    let (complaint, loaded) = try storage { () throws(SQLiteError) in
      (try connection.text("PRAGMA integrity_check(1)"), try SegmentSQL.load(connection))
    }
    guard complaint == "ok" else { throw damaged(path, complaint ?? "it cannot be checked") }
    guard let loaded, loaded.state.commitSequence == sequence else {
      throw damaged(
        path, "commit \(sequence), which was durable, is not the last one in it (\(loaded?.state.commitSequence ?? -1))")
    }
    try storage { () throws(SQLiteError) in
      try connection.execute("UPDATE partition_state SET generation = \(generation)")
      try connection.execute("PRAGMA journal_mode=WAL")
    }
    connection.setCheckpointOnClose(true)
    connection.close()
  }
}
