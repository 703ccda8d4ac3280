internal import Glibc
internal import Model
internal import Pages
internal import Storage

/// Applies page sets to a database that nobody has open, in a copy that takes its place when all is right.
struct PagesApply {
  struct Summary {
    var sets = 0
    var pages = 0
    var position: CommitPosition?
    var sum = DatabaseSum.empty
  }

  private let target: String

  init(_ target: String) { self.target = target }

  /// - Throws: `CommandFailure`; then the database is as it was.
  func run(_ path: String) throws -> Summary {
    var sets = try PageSetFile(path)
    guard var set = try sets.next() else { throw CommandFailure("'\(path)' has no page set") }
    let existing = try open(createsWith: set)
    let copy = try ReplacingFile(target, mode: try existing.map { try $0.status().st_mode & 0o777 } ?? 0o600)
    var sums = PageSums(pageSize: set.header.pageSize)
    if let existing, !set.header.isFullState { sums = try Self.copy(existing, to: copy.file, pageSize: set.header.pageSize) }
    // A database that keeps no position is known by its sum alone.
    var position = try Self.position(copy.file, sums) ?? set.header.before
    var summary = Summary()
    while true {
      summary.sets += 1
      summary.pages += set.entries.count
      let refusal = try sums.apply(set, at: &position) { number, page in
        guard try copy.file.read(at: number.byteOffset(pageSize: set.header.pageSize), into: page) == page.count else {
          throw CommandFailure("'\(target)' is cut off at page \(number)")
        }
      } write: { number, page in
        try copy.file.write(page, at: number.byteOffset(pageSize: set.header.pageSize))
      }
      if let refusal { throw CommandFailure("page set \(summary.sets) of '\(path)' does not belong here: \(refusal)") }
      try copy.file.truncate(to: sums.pageCount * sums.pageSize.bytes)
      guard let next = try sets.next() else { break }
      set = next
    }
    try withExtendedLifetime(existing) { try copy.finish() }
    summary.position = position
    summary.sum = sums.total
    return summary
  }

  /// The database, locked as SQLite's exclusive lock does it, so that nobody opens it meanwhile; nil where the set begins one.
  private func open(createsWith first: PageSet) throws -> OpenFile? {
    for ending in ["-wal", "-journal"] where OpenFile.size(target + ending) > 0 {
      throw CommandFailure(
        "'\(target)' has a \(ending): it is open, or was not closed; `sqlite3 FILE 'PRAGMA wal_checkpoint(TRUNCATE)'` takes it in"
      )
    }
    guard OpenFile.exists(target) else {
      if first.header.isFullState || first.header.pageCountBefore == 0 { return nil }
      throw CommandFailure("there is no '\(target)', and the first page set does not begin a database")
    }
    let file = try OpenFile(target, flags: O_RDWR)
    // PENDING, RESERVED and the 510 SHARED bytes: whoever has the database open holds one of the last.
    var lock = flock()
    lock.l_type = Int16(F_WRLCK)
    lock.l_whence = Int16(SEEK_SET)
    lock.l_start = 1 << 30
    lock.l_len = 512
    guard fcntl(file.descriptor, F_SETLK, &lock) == 0 else {
      throw CommandFailure("'\(target)' is open in another process")
    }
    return file
  }

  private static func copy(_ file: OpenFile, to copy: OpenFile, pageSize: PageSize) throws -> PageSums {
    var sums = PageSums(pageSize: pageSize)
    var page = [UInt8](repeating: 0, count: pageSize.bytes)
    let size = try file.size()
    if let found = try header(file), found.pageSize != pageSize {
      let mismatch = PagesError.pageSizeMismatch(database: found.pageSize.bytes, set: pageSize.bytes)
      throw CommandFailure("the page sets do not belong to '\(file.path)': \(mismatch)")
    }
    guard size % pageSize.bytes == 0 else {
      throw CommandFailure("'\(file.path)' has \(size) bytes, which are no pages of \(pageSize.bytes)")
    }
    for offset in stride(from: 0, to: size, by: pageSize.bytes) {
      try page.withUnsafeMutableBytes { page in
        guard try file.read(at: offset, into: page) == page.count else { throw CommandFailure("'\(file.path)' is cut off") }
        sums.append(UnsafeRawBufferPointer(page))
        try copy.write(UnsafeRawBufferPointer(page), at: offset)
      }
    }
    return sums
  }

  private static func header(_ file: OpenFile) throws -> DatabaseHeader? {
    var bytes = [UInt8](repeating: 0, count: DatabaseHeader.byteCount)
    let count = try bytes.withUnsafeMutableBytes { try file.read(at: 0, into: $0) }
    return bytes.withUnsafeBytes { DatabaseHeader(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
  }

  private static func position(_ file: OpenFile, _ sums: PageSums) throws -> CommitPosition? {
    guard let header = try header(file) else { return nil }
    let owners = try PageOwners(header, pageCount: sums.pageCount) { number, page in
      _ = try file.read(at: number.byteOffset(pageSize: header.pageSize), into: page)
    }
    guard let place = SegmentPosition(header, owners) else { return nil }
    var page = [UInt8](repeating: 0, count: header.pageSize.bytes)
    _ = try page.withUnsafeMutableBytes { try file.read(at: place.page.byteOffset(pageSize: header.pageSize), into: $0) }
    return page.withUnsafeBytes { place.read($0) }
  }
}
