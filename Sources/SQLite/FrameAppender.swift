internal import CSQLite
internal import Glibc

/// Appends commits that another database made, page by page, to a database's own -wal, as if a connection had written them.
///
/// It speaks to the file methods of its connection, in the order in which SQLite itself does: to every other connection, in this process
/// or in others, each commit appears whole or not at all, and a crash at any moment is one that SQLite recovers from. The database has to
/// be what the pages were made of: nobody else may write to it.
///
/// One append at a time: `begin`, any number of `write`, then `commit` or `abandon`. Used by one thread at a time, which is also the one
/// that checkpoints: SQLite before 3.51.3 can lose pages where a checkpoint runs while the -wal is begun anew.
///
/// Pages behind the end that any commit of this log has had are nobody's yet: no reader asks for them, and no frame has them. Those may be
/// written into the database file at once, once instead of twice; they are synced before the commit that makes them pages is written.
public final class FrameAppender {
  /// SQLite's VFS takes no write of 128 KiB or more: it counts the bytes in 17 bits.
  private static let writeBytesMax = 131_071
  static let frameHeaderBytes = 24

  public let path: String
  public let pageSize: Int
  private let connection: Connection
  private let index: WALIndex
  private let database: UnsafeMutablePointer<sqlite3_file>
  private let wal: UnsafeMutablePointer<sqlite3_file>
  private let buffer: UnsafeMutableRawPointer
  private let framesMax: Int
  private var checkpointSequence: UInt32 = 0
  private var open: Append?
  /// Frames of the log that were visible at the last commit, and how many of them the last checkpoint left in the database file.
  private var frameCount = 0
  private var checkpointedCount = 0
  /// Pages behind this one are neither in the log nor in any commit that a reader may stand at; nil where that is not known.
  private var lastKnownPage: UInt32?

  /// An append that is not visible yet.
  private struct Append {
    var header: WALIndexHeader
    /// Frames that were visible when it began.
    var visible: Int
    var checksum: (UInt32, UInt32)
    var pages: [UInt32] = []
    /// The last of them, which wait in the buffer: one of them will have the commit mark.
    var buffered = 0
    /// CKPT is held: nobody cuts the database file to the size it has had.
    var mayWriteFile = false
    /// The last page that was written into the database file.
    var lastInFile: UInt32?
  }

  /// - Parameter path: a database in WAL mode, which must not be empty.
  public init(path: String) throws(SQLiteError) {
    self.path = path
    connection = try Connection(path: path, mode: .readWrite, vfs: GatheringVFS.name)
    // Another process may be recovering the -wal, or closing the database as its last one.
    connection.setBusyTimeout(milliseconds: 10_000)
    guard try connection.text("PRAGMA journal_mode") == "wal" else {
      throw SQLiteError(code: SQLITE_MISUSE, message: "\(path) is not in WAL mode")
    }
    try connection.execute("PRAGMA \(GatheringVFS.synchronous)")
    // Only a read opens the -wal.
    _ = try connection.integer("SELECT count(*) FROM sqlite_schema")
    pageSize = Int(try connection.integer("PRAGMA page_size") ?? 0)
    var files: [UnsafeMutablePointer<sqlite3_file>] = []
    for operation in [SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER] {
      var file: UnsafeMutablePointer<sqlite3_file>?
      let code = sqlite3_file_control(connection.handle, "main", operation, &file)
      guard code == SQLITE_OK, let file, let methods = file.pointee.pMethods, methods.pointee.iVersion >= 2 else {
        throw SQLiteError(code: code, message: "\(path): SQLite does not lend its files")
      }
      files.append(file)
    }
    database = files[0]
    wal = files[1]
    index = WALIndex(database)
    framesMax = Self.writeBytesMax / (Self.frameHeaderBytes + pageSize)
    buffer = .allocate(byteCount: framesMax * (Self.frameHeaderBytes + pageSize), alignment: 16)
  }

  deinit {
    abandon()
    buffer.deallocate()
  }

  /// Closes its connection, which does not checkpoint.
  public func close() {
    abandon()
    connection.close()
  }

  // One commit

  /// Takes the write lock, and begins the -wal anew if all of it was checkpointed and nobody reads it.
  ///
  /// - Parameter pageCount: of the database after the commit, where some of its new pages may be written into the file at once.
  /// - Throws: busy where another connection holds the lock for longer than `timeout`; nothing is held then.
  public func begin(timeout: Duration, growingTo pageCount: UInt32 = 0) throws(SQLiteError) {
    precondition(open == nil, "one append at a time")
    let end = ContinuousClock.now + timeout
    while true {
      while !(try index.lock(.write)) {
        guard ContinuousClock.now < end else { throw SQLiteError(code: SQLITE_BUSY, message: "\(path) is being written") }
        usleep(200)
      }
      do throws(SQLiteError) {
        if let header = try index.header() {
          try begin(header)
          if let known = lastKnownPage, pageCount > known { try makeRoom(for: pageCount) }
          return
        }
      } catch {
        if open != nil { abandon() } else { index.unlock(.write) }
        throw error
      }
      // A writer died between the copies of the header. The lock has to be free: SQLite's recovery takes it, and lets go of it.
      index.unlock(.write)
      _ = try connection.integer("SELECT count(*) FROM sqlite_schema")
      guard ContinuousClock.now < end else {
        throw SQLiteError(code: SQLITE_BUSY, message: "\(path): its wal-index is damaged")
      }
    }
  }

  private func begin(_ found: WALIndexHeader) throws(SQLiteError) {
    var header = found
    guard header.pageSize == pageSize || header.frameCount == 0 else {
      throw SQLiteError(code: SQLITE_CORRUPT, message: "\(path): the wal-index has pages of \(header.pageSize) bytes")
    }
    header.pageSize = pageSize
    try restart(&header)
    if header.frameCount == 0 {
      try writeLogHeader(&header)
      checkpointedCount = 0
      lastKnownPage = max(header.pageCount, try filePageCount())
    }
    frameCount = Int(header.frameCount)
    open = Append(header: header, visible: Int(header.frameCount), checksum: header.checksum)
  }

  /// Where the whole -wal is in the database file and no reader stands in it, the next frame is the first again.
  private func restart(_ header: inout WALIndexHeader) throws(SQLiteError) {
    guard header.frameCount > 0, try index.checkpointedFrames() == header.frameCount, try index.lock(.checkpoint) else {
      return
    }
    defer { index.unlock(.checkpoint) }
    guard try index.checkpointedFrames() == header.frameCount,
      try index.lock(.firstReader, count: WALIndex.readerLocks)
    else { return }
    defer { index.unlock(.firstReader, count: WALIndex.readerLocks) }
    header.salts = Self.newSalts(header.salts)
    header.frameCount = 0
    try index.publish(header)
    try index.resetCheckpoint()
  }

  /// Pages that the database file has room for; some of them may be of a commit that did not come.
  private func filePageCount() throws(SQLiteError) -> UInt32 {
    var size: sqlite3_int64 = 0
    let code = database.pointee.pMethods.pointee.xFileSize(database, &size)
    guard code == SQLITE_OK else { throw SQLiteError(code: code, message: "\(path) has no size") }
    return UInt32(clamping: (size + Int64(pageSize) - 1) / Int64(pageSize))
  }

  /// A checkpoint would cut off what lies behind the end of the database.
  private func makeRoom(for pageCount: UInt32) throws(SQLiteError) {
    guard try index.lock(.checkpoint) else { return }
    open?.mayWriteFile = true
    var size = sqlite3_int64(pageCount) * sqlite3_int64(pageSize)
    _ = database.pointee.pMethods.pointee.xFileControl(database, SQLITE_FCNTL_SIZE_HINT, &size)
  }

  private static func newSalts(_ salts: (UInt32, UInt32)) -> (UInt32, UInt32) {
    ((UInt32(bigEndian: salts.0) &+ 1).bigEndian, UInt32.random(in: 0...UInt32.max))
  }

  private func writeLogHeader(_ header: inout WALIndexHeader) throws(SQLiteError) {
    header.salts = Self.newSalts(header.salts)
    header.hasBigEndianWords = 1.bigEndian == 1
    checkpointSequence &+= 1
    put(0x377f_0682 | (header.hasBigEndianWords ? 1 : 0), at: 0)
    put(3_007_000, at: 4)
    put(UInt32(pageSize), at: 8)
    put(checkpointSequence, at: 12)
    buffer.storeBytes(of: header.salts.0, toByteOffset: 16, as: UInt32.self)
    buffer.storeBytes(of: header.salts.1, toByteOffset: 20, as: UInt32.self)
    header.checksum = (0, 0)
    WALSum.add(buffer, 24, bigEndianWords: header.hasBigEndianWords, to: &header.checksum)
    put(header.checksum.0, at: 24)
    put(header.checksum.1, at: 28)
    try write(32, at: 0)
    // Before any frame: a header that came to the disk after them would make frames of the old log ones of the new.
    try sync()
  }

  private func put(_ value: UInt32, at offset: Int) {
    buffer.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
  }

  /// Adds a page to the commit.
  ///
  /// - Precondition: between `begin` and `commit`, with a page's bytes, each page once.
  /// - Parameter isLasting: it will hardly change soon. Where its place in the file is nobody's yet, it is written there.
  /// - Throws: then `abandon` is what is left to do.
  public func write(page: UInt32, _ bytes: UnsafeRawBufferPointer, isLasting: Bool = false) throws(SQLiteError) {
    precondition(bytes.count == pageSize && page > 0, "a page of this database")
    precondition(open != nil, "a page is written after begin")
    if isLasting, open!.mayWriteFile, let known = lastKnownPage, page > known {
      let code = database.pointee.pMethods.pointee.xWrite(database, bytes.baseAddress, CInt(pageSize), offset(of: page))
      if code != SQLITE_OK { throw SQLiteError(code: code, message: "\(path) cannot be written") }
      open!.lastInFile = page
      return
    }
    try writeFrame(of: page, bytes)
  }

  private func offset(of page: UInt32) -> Int64 { Int64(page - 1) * Int64(pageSize) }

  private func writeFrame(of page: UInt32, _ bytes: UnsafeRawBufferPointer) throws(SQLiteError) {
    if open!.buffered == framesMax { try flush(&open!, pageCount: 0) }
    let frame = buffer + open!.buffered * (Self.frameHeaderBytes + pageSize)
    frame.storeBytes(of: page.bigEndian, as: UInt32.self)
    (frame + Self.frameHeaderBytes).copyMemory(from: bytes.baseAddress!, byteCount: pageSize)
    open!.pages.append(page)
    open!.buffered += 1
  }

  /// Writes the frames that wait, the last of them with the commit mark where `pageCount` is not 0.
  private func flush(_ append: inout Append, pageCount: UInt32) throws(SQLiteError) {
    let frameBytes = Self.frameHeaderBytes + pageSize
    for place in 0..<append.buffered {
      let frame = buffer + place * frameBytes
      let mark = place == append.buffered - 1 ? pageCount : 0
      frame.storeBytes(of: mark.bigEndian, toByteOffset: 4, as: UInt32.self)
      frame.storeBytes(of: append.header.salts.0, toByteOffset: 8, as: UInt32.self)
      frame.storeBytes(of: append.header.salts.1, toByteOffset: 12, as: UInt32.self)
      let bigEndian = append.header.hasBigEndianWords
      WALSum.add(frame, 8, bigEndianWords: bigEndian, to: &append.checksum)
      WALSum.add(frame + Self.frameHeaderBytes, pageSize, bigEndianWords: bigEndian, to: &append.checksum)
      frame.storeBytes(of: append.checksum.0.bigEndian, toByteOffset: 16, as: UInt32.self)
      frame.storeBytes(of: append.checksum.1.bigEndian, toByteOffset: 20, as: UInt32.self)
    }
    let first = append.visible + append.pages.count - append.buffered
    try write(append.buffered * frameBytes, at: Int64(32 + first * frameBytes))
    append.buffered = 0
  }

  /// Makes the commit visible. It is durable after `sync`, or after any sync of the -wal.
  ///
  /// - Parameter pageCount: pages in the database after it.
  /// - Throws: nothing of it is visible then, and nothing is held.
  public func commit(pageCount: UInt32) throws(SQLiteError) {
    guard var append = open else { preconditionFailure("a commit ends what begin began") }
    precondition(!(append.pages.isEmpty && append.lastInFile == nil) && pageCount > 0, "a commit has pages")
    defer { abandon() }
    if let last = append.lastInFile {
      if append.pages.isEmpty {
        try writeFrameAnew(of: last)
        append = open!
      }
      // Before any of its frames is in the log: a commit of which the log has everything must have its pages.
      let code = database.pointee.pMethods.pointee.xSync(database, SQLITE_SYNC_FULL)
      if code != SQLITE_OK { throw SQLiteError(code: code, message: "\(path) cannot be synced") }
    }
    try flush(&append, pageCount: pageCount)
    // What the VFS has gathered, before anybody is told of it.
    let code = wal.pointee.pMethods.pointee.xSync(wal, SQLITE_SYNC_NORMAL)
    if code != SQLITE_OK { throw SQLiteError(code: code, message: "\(path)-wal cannot be written") }
    for (place, page) in append.pages.enumerated() {
      try index.insert(frame: append.visible + 1 + place, page: page, visible: append.visible)
    }
    append.header.frameCount = UInt32(append.visible + append.pages.count)
    append.header.pageCount = pageCount
    append.header.checksum = append.checksum
    append.header.changeCount &+= 1
    try index.publish(append.header)
    frameCount = Int(append.header.frameCount)
    if let known = lastKnownPage { lastKnownPage = max(known, pageCount) }
  }

  /// There is no commit without a frame.
  private func writeFrameAnew(of page: UInt32) throws(SQLiteError) {
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize, alignment: 16)
    defer { room.deallocate() }
    let code = database.pointee.pMethods.pointee.xRead(database, room.baseAddress, CInt(pageSize), offset(of: page))
    if code != SQLITE_OK { throw SQLiteError(code: code, message: "\(path): page \(page) cannot be read") }
    try writeFrame(of: page, UnsafeRawBufferPointer(room))
  }

  /// Ends an append that will not be: nobody sees anything of it. Does nothing where none is open.
  public func abandon() {
    guard let append = open else { return }
    open = nil
    if append.mayWriteFile { index.unlock(.checkpoint) }
    index.unlock(.write)
  }

  /// Copies a page as the last visible commit has it; zeros behind the end of the database.
  ///
  /// - Precondition: between `begin` and `commit`.
  public func read(page: UInt32, into room: UnsafeMutableRawBufferPointer) throws(SQLiteError) {
    precondition(room.count == pageSize, "room for one page")
    guard let append = open else { preconditionFailure("a page is read after begin") }
    var code: CInt
    if let frame = try index.frame(of: page, visible: append.visible) {
      let offset = 32 + (frame - 1) * (Self.frameHeaderBytes + pageSize) + Self.frameHeaderBytes
      code = wal.pointee.pMethods.pointee.xRead(wal, room.baseAddress!, CInt(pageSize), Int64(offset))
    } else {
      code = database.pointee.pMethods.pointee.xRead(
        database, room.baseAddress!, CInt(pageSize), offset(of: page))
    }
    // A short read fills the rest with zeros.
    if code == ioErrorShortRead { code = SQLITE_OK }
    if code != SQLITE_OK { throw SQLiteError(code: code, message: "\(path): page \(page) cannot be read") }
  }

  /// Lends the connection, to look at the rows. Between appends only; what `body` prepares must be reset when it returns, and gone before `close`.
  public func withConnection<R>(_ body: (Connection) throws(SQLiteError) -> R) throws(SQLiteError) -> R {
    precondition(open == nil, "rows are read between appends")
    return try body(connection)
  }

  /// Bytes of frames in the log that no checkpoint has copied, as of the last commit or checkpoint.
  public var uncheckpointedBytes: Int { max(0, frameCount - checkpointedCount) * (Self.frameHeaderBytes + pageSize) }

  /// Frames of visible commits in the -wal. Between `begin` and what ends it.
  public var visibleFrames: Int { open?.visible ?? 0 }

  /// Pages in the database after the last visible commit. Between appends only.
  public func pageCount() throws(SQLiteError) -> Int {
    precondition(open == nil, "pages are counted between appends")
    return Int(try connection.integer("PRAGMA page_count") ?? 0)
  }

  /// Makes every commit so far durable: one for many of them is enough.
  ///
  /// - Throws: `isSyncFailure` is final; the -wal counts for nothing then.
  public func sync() throws(SQLiteError) {
    // What `GatheringVFS` takes for a real one.
    let code = wal.pointee.pMethods.pointee.xSync(wal, SQLITE_SYNC_FULL)
    if code != SQLITE_OK { throw SQLiteError(code: code, message: "\(path)-wal cannot be synced") }
  }

  private func write(_ count: Int, at offset: Int64) throws(SQLiteError) {
    let code = wal.pointee.pMethods.pointee.xWrite(wal, buffer, CInt(count), offset)
    if code != SQLITE_OK { throw SQLiteError(code: code, message: "\(path)-wal cannot be written") }
  }

  /// Copies what is in the -wal into the database file, as far as readers let it. Between appends only.
  public func checkpoint() throws(SQLiteError) -> CheckpointResult {
    precondition(open == nil, "a checkpoint and an append exclude each other")
    let result = try connection.checkpoint(.passive)
    if result.walFrames >= 0 { (frameCount, checkpointedCount) = (result.walFrames, result.checkpointedFrames) }
    return result
  }
}
