internal import Bytes
internal import Model
internal import Pages
internal import SQLite

/// What the file of a segment with a seal is, with the -wal that may lie beside it.
///
/// Only a replica has a sealed segment with a -wal of its own: it learns of a seal before it has folded the pages it was sent. Any other -wal is left of
/// another file, was put there, or an outside reader's; folding that in would destroy the segment. So the content decides.
enum SealMatch {
  /// The file is what was sealed; or there is no -wal with anything in it, and the first use tells. Nothing in a -wal is its own (`hasLog`).
  case sealed(hasLog: Bool)
  /// It will be what was sealed, as soon as the -wal is folded into it.
  case unfolded
  /// Neither: it is damaged, whatever lies beside it.
  case differs

  /// Reads the whole file only where there is a -wal with something in it.
  init(_ path: String, _ seal: SegmentRecord.Seal) {
    let log = path + "-wal"
    for _ in 0..<Self.attemptsMax {
      guard let before = Stamp(log), before.byteCount > 0 else { break }
      let found = (try? Self.compare(path, log, seal)) ?? .differs
      if case .differs = found, Stamp(log) != before {
        // Whoever owns the segment folds it meanwhile, and lets go of the -wal.
        continue
      }
      self = found
      return
    }
    self = .sealed(hasLog: FileSystem.exists(log))
  }

  private static let attemptsMax = 5

  private struct Stamp: Equatable {
    let byteCount: Int
    private let inode: UInt64?

    init?(_ path: String) {
      guard let byteCount = FileSystem.size(of: path) else { return nil }
      self.byteCount = byteCount
      inode = FileSystem.inode(of: path)
    }
  }

  private static func compare(_ path: String, _ log: String, _ seal: SegmentRecord.Seal) throws(StorageError) -> SealMatch {
    // SQLite's own descriptor: somebody may read the file with locks.
    let database = try storage { () throws(SQLiteError) in try Connection(path: path, mode: .immutable) }
    defer { database.close() }
    guard let fileBytes = FileSystem.size(of: path), let file = try LogFile(log) else { return .differs }
    let asItIs = Content(byteCount: fileBytes, frames: [:], pageBytes: 8192)
    if fileBytes == Int(seal.fileBytes), try asItIs.hash(database, file) == seal.hash { return .sealed(hasLog: true) }
    guard let folded = try Content(foldedWith: file), folded.byteCount == Int(seal.fileBytes) else { return .differs }
    return try folded.hash(database, file) == seal.hash ? .unfolded : .differs
  }

  /// The bytes of a file, some of its pages being those of frames.
  private struct Content {
    let byteCount: Int
    /// Where the newest committed version of a page lies in the -wal, by the page's place among all.
    let frames: [Int: Int]
    let pageBytes: Int

    init(byteCount: Int, frames: [Int: Int], pageBytes: Int) {
      self.byteCount = byteCount
      self.frames = frames
      self.pageBytes = pageBytes
    }

    /// As SQLite would fold a -wal into the file: commits that are whole, and nothing behind the first one that is not.
    ///
    /// - Returns: nil where there is no commit.
    init?(foldedWith file: LogFile) throws(StorageError) {
      guard case .success(let header) = try WALReader.header(read: file.read) else { return nil }
      var reader = WALReader(from: WALChain(header))
      var frames: [Int: Int] = [:]
      var pageCount: Int?
      while case .commit(let commit) = try reader.next(read: file.read) {
        for frame in commit.pages {
          frames[Int(frame.page.rawValue) - 1] = header.byteOffset(ofFrame: frame.index) + WALHeader.frameHeaderByteCount
        }
        pageCount = commit.pageCount
      }
      guard let pageCount else { return nil }
      self.init(byteCount: pageCount * header.pageSize.bytes, frames: frames, pageBytes: header.pageSize.bytes)
    }

    func hash(_ database: Connection, _ log: LogFile) throws(StorageError) -> UInt64 {
      var hash = XXH64()
      let pagesAtOnce = max(1, (1 << 20) / pageBytes)
      let room = UnsafeMutableRawBufferPointer.allocate(byteCount: pagesAtOnce * pageBytes, alignment: 4096)
      defer { room.deallocate() }
      var page = 0
      while page * pageBytes < byteCount {
        let start = page * pageBytes
        let piece = UnsafeMutableRawBufferPointer(rebasing: room[..<min(room.count, byteCount - start)])
        try storage { () throws(SQLiteError) in try database.readDatabaseFile(at: Int64(start), into: piece) }
        for index in 0..<pagesAtOnce where index * pageBytes < piece.count {
          guard let offset = frames[page + index] else { continue }
          let place = piece[index * pageBytes..<min(piece.count, (index + 1) * pageBytes)]
          _ = try log.read(offset, UnsafeMutableRawBufferPointer(rebasing: place))
        }
        hash.update(UnsafeRawBufferPointer(piece))
        page += pagesAtOnce
      }
      return hash.value
    }
  }
}
