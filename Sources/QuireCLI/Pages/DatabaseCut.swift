internal import Glibc
internal import Model
internal import Pages
internal import Storage

/// A database as it is after one commit: its file, and over it the -wal, read without SQLite and without locks, while others write.
///
/// What makes it one moment: a checkpoint changes in the file only pages that are in the -wal, up to a commit that is there too. So the
/// file is read first, and then the -wal to its end. What it has by then counts, and pages that it has not were not touched, unless the
/// -wal was begun anew meanwhile, which its salts tell: then all is read again. As no lock is held, nobody waits for this reader, and it
/// can never be the last to close the database, who would checkpoint it and remove the -wal.
struct DatabaseCut {
  let file: OpenFile
  let header: DatabaseHeader
  let sums: PageSums
  /// The -wal, where it has commits.
  let log: Log?

  struct Log {
    let file: OpenFile
    let header: WALHeader
    let commits: [WALCommit]
    let end: WALReader.End
    /// The last frame of each page.
    let frames: [PageNumber: Int]
  }

  var pageSize: PageSize { header.pageSize }
  var pageCount: Int { sums.pageCount }

  private static let attempts = 20

  /// - Throws: `CommandFailure` for what is no database, is damaged, or changes too fast.
  init(_ path: String) throws {
    for _ in 0..<Self.attempts {
      if let cut = try Self(attempt: path) {
        self = cut
        return
      }
      usleep(100_000)
    }
    throw CommandFailure(
      "'\(path)' is damaged, or written too fast to be read at one moment: there are pages missing each time")
  }

  /// Nil where the files changed while they were read.
  private init?(attempt path: String) throws {
    file = try OpenFile(path)
    if OpenFile.size(path + "-journal") > 0 {
      throw CommandFailure("'\(path)' has a rollback journal: a transaction runs, or was cut off; let sqlite3 finish it")
    }
    guard let header = try Self.header(file) else { throw CommandFailure("'\(path)' is no SQLite database") }
    let size = header.pageSize.bytes
    var reader = try Self.reader(path + "-wal", header.pageSize)
    var frames: [PageNumber: Int] = [:]
    var commits: [WALCommit] = []
    guard try reader?.drain(&commits, &frames) != .restarted else { return nil }
    let fileBytes = try file.size()
    var pageCount = commits.last?.pageCount ?? header.pageCount ?? fileBytes / size
    var hashes: [UInt64?] = []
    var page = [UInt8](repeating: 0, count: size)
    for index in 0..<pageCount {
      let number = PageNumber(UInt32(index + 1))
      let isHere = frames[number] == nil && number != header.pageSize.lockPage
      hashes.append(isHere ? try Self.hash(file, at: index * size, number, &page) : nil)
    }
    // Only now is it known which moment this is.
    if let known = commits.last {
      guard let end = try reader?.drain(&commits, &frames), end != .restarted else { return nil }
      if commits.last != known { pageCount = commits.last!.pageCount }
    } else {
      if OpenFile.size(path + "-wal") > 0, try Self.hasCommits(path + "-wal", header.pageSize) { return nil }
      // Without a -wal a writer in another journal mode may have been here.
      guard try Self.header(file) == header, try file.size() == fileBytes else { return nil }
    }
    var known: [UInt64] = []
    for index in 0..<pageCount {
      let number = PageNumber(UInt32(index + 1))
      var hash = index < hashes.count ? hashes[index] : nil
      if let frame = frames[number], let reader {
        let start = reader.header.byteOffset(ofFrame: frame) + WALHeader.frameHeaderByteCount
        hash = try Self.hash(reader.file, at: start, number, &page)
      }
      if number == header.pageSize.lockPage { hash = 0 }
      guard let hash else {
        if commits.isEmpty { throw CommandFailure("'\(path)' is cut off: page \(number) of \(pageCount) is not there") }
        return nil
      }
      known.append(hash)
    }
    if let reader {
      guard try reader.isSame() else { return nil }
      log =
        commits.isEmpty
        ? nil : Log(file: reader.file, header: reader.header, commits: commits, end: reader.end, frames: frames)
    } else {
      log = nil
    }
    sums = PageSums(pageSize: header.pageSize, hashes: known)
    // Page 1 may lie in the -wal.
    self.header = header
  }

  private static func header(_ file: OpenFile) throws -> DatabaseHeader? {
    var bytes = [UInt8](repeating: 0, count: DatabaseHeader.byteCount)
    let count = try bytes.withUnsafeMutableBytes { try file.read(at: 0, into: $0) }
    return bytes.withUnsafeBytes { DatabaseHeader(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
  }

  /// - Returns: nil where the page is not, or not wholly, in the file.
  private static func hash(_ file: OpenFile, at offset: Int, _ number: PageNumber, _ page: inout [UInt8]) throws -> UInt64? {
    let count = try page.withUnsafeMutableBytes { try file.read(at: offset, into: $0) }
    return count == page.count ? page.withUnsafeBytes { DatabaseSum.ofPage(number, $0) } : nil
  }

  private static func hasCommits(_ path: String, _ pageSize: PageSize) throws -> Bool {
    guard var reader = try reader(path, pageSize) else { return false }
    if case .commit = try reader.reader.next(read: reader.file.read) { return true }
    return false
  }

  /// - Returns: nil where there is no -wal that SQLite would read.
  private static func reader(_ path: String, _ pageSize: PageSize) throws -> LogReader? {
    guard OpenFile.exists(path), OpenFile.size(path) > 0 else { return nil }
    let file = try OpenFile(path)
    guard case .success(let header) = try WALReader.header(read: file.read), header.pageSize == pageSize else { return nil }
    return LogReader(file: file, header: header, reader: WALReader(from: WALChain(header)))
  }

  private struct LogReader {
    let file: OpenFile
    let header: WALHeader
    var reader: WALReader
    var end = WALReader.End.end(uncommitted: 0)

    enum Drained { case known, restarted }

    mutating func drain(_ commits: inout [WALCommit], _ frames: inout [PageNumber: Int]) throws -> Drained {
      while true {
        switch try reader.next(read: file.read) {
        case .commit(let commit):
          // What was cut off and comes again is written anew.
          if let last = commits.last, last.pageCount > commit.pageCount {
            frames = frames.filter { $0.key.rawValue <= commit.pageCount }
          }
          commits.append(commit)
          for page in commit.pages { frames[page.page] = page.index }
        case .end(.restarted): return .restarted
        case .end(let found):
          end = found
          return .known
        }
      }
    }

    func isSame() throws -> Bool {
      if case .success(let found) = try WALReader.header(read: file.read) { return found == header }
      return false
    }
  }

  /// Copies a page as it is in this cut.
  ///
  /// - Throws: `CommandFailure` where it has changed since the cut was made.
  func read(_ number: PageNumber, into page: UnsafeMutableRawBufferPointer) throws {
    if let log, let frame = log.frames[number] {
      try log.read(frame, into: page)
    } else if try file.read(at: number.byteOffset(pageSize: pageSize), into: page) < page.count {
      page.initializeMemory(as: UInt8.self, repeating: 0)
    }
    guard number == pageSize.lockPage || DatabaseSum.ofPage(number, UnsafeRawBufferPointer(page)) == hash(number) else {
      throw CommandFailure("'\(file.path)' was written while it was read; try again")
    }
  }

  private func hash(_ number: PageNumber) -> UInt64 { sums.hashes[Int(number.rawValue) - 1] }

  /// What each page is for.
  func owners() throws -> PageOwners {
    try PageOwners(try currentHeader(), pageCount: pageCount) { number, page in try read(number, into: page) }
  }

  /// Where the database stands, if it says so.
  func position(_ owners: PageOwners) throws -> CommitPosition? {
    guard let place = SegmentPosition(try currentHeader(), owners) else { return nil }
    var page = [UInt8](repeating: 0, count: pageSize.bytes)
    try page.withUnsafeMutableBytes { try read(place.page, into: $0) }
    return page.withUnsafeBytes { place.read($0) }
  }

  /// The header as of this cut: page 1 may lie in the -wal.
  func currentHeader() throws -> DatabaseHeader {
    var page = [UInt8](repeating: 0, count: pageSize.bytes)
    try page.withUnsafeMutableBytes { try read(.first, into: $0) }
    return page.withUnsafeBytes { DatabaseHeader($0) } ?? header
  }
}

extension DatabaseCut.Log {
  /// Copies the page in a frame.
  func read(_ frame: Int, into page: UnsafeMutableRawBufferPointer) throws {
    let start = header.byteOffset(ofFrame: frame) + WALHeader.frameHeaderByteCount
    guard try file.read(at: start, into: page) == page.count else {
      throw CommandFailure("'\(file.path)' was begun anew while it was read; try again")
    }
  }
}
