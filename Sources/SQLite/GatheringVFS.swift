internal import CSQLite
internal import Glibc

/// A VFS that gathers SQLite's writes of single pages into large ones.
///
/// SQLite writes each frame of the WAL with two calls, 24 bytes and a page, and each page of a checkpoint with one; at volume
/// these calls cost more than everything else a commit does. Here writes that follow each other in a database file or its -wal
/// are put together in a buffer, which is written when it is full, when a write does not follow, and before anything that could
/// tell the difference: reading, syncing, truncating, asking for the size, locks, the end of a checkpoint's copying
/// (SQLITE_FCNTL_CKPT_DONE, before SQLite says how far it has come), and the barrier before readers may see a commit.
///
/// So that a write which fails is still a commit that fails, connections over this VFS have `synchronous=FULL` and
/// `checkpoint_fullfsync=1`: SQLite then asks for a sync of the -wal before it makes a commit known, and marks that sync
/// SQLITE_SYNC_NORMAL. Such a sync only writes here; whoever commits syncs the -wal with his own fdatasync. The syncs that SQLite
/// itself relies on, of a WAL that starts over and of checkpoints, are marked SQLITE_SYNC_FULL and are real.
///
/// The database file, written by checkpoints only, goes to the disk past the page cache where the file system can: it is synced
/// a moment later anyway, and copying it into pages that were just allocated cost as much as all the rest of a checkpoint. It is
/// gathered only within its size, which grows before a checkpoint copies: a disk that is full says so to SQLite, not to us.
public enum GatheringVFS {
  /// What `Connection.init` takes; registers the VFS at its first use. Nil, the system's VFS, should SQLite refuse it.
  public static var name: String? { isRegistered ? vfsName : nil }

  /// The pragmas of a connection over it, with which COMMIT writes what is gathered and syncs nothing. Without the VFS they are those
  /// of a connection whose owner syncs the -wal.
  public static var synchronous: String {
    isRegistered ? "synchronous=FULL; PRAGMA checkpoint_fullfsync=1" : "synchronous=NORMAL"
  }

  private static let vfsName = "quire-gathering"

  private static let isRegistered = sqlite3_vfs.registerShell(vfsName) { _, name, file, flags, outFlags in
    GatheringVFS.open(name, file!, flags, outFlags)
  }

  private static func open(
    _ name: UnsafePointer<CChar>?, _ file: UnsafeMutablePointer<sqlite3_file>, _ flags: CInt,
    _ outFlags: UnsafeMutablePointer<CInt>?
  ) -> CInt {
    // A null method table tells SQLite that there is nothing to close.
    file.pointee.pMethods = nil
    let shell = UnsafeMutableRawPointer(file).assumingMemoryBound(to: csqlite_file.self)
    let below = sqlite3_vfs_find(nil)!
    let fileBelow = csqlite_file_below(shell)!
    let isWAL = flags & SQLITE_OPEN_WAL != 0
    let isMain = flags & SQLITE_OPEN_MAIN_DB != 0
    let (code, descriptor) = OpenedDescriptor.capture(isWanted: isMain) {
      below.pointee.xOpen(below, name, fileBelow, flags, outFlags)
    }
    guard code == SQLITE_OK else { return code }
    let kind: GatheredFile.Kind = isWAL ? .wal : isMain ? .main : .other
    let gathered = GatheredFile(fileBelow, kind, descriptor: descriptor)
    if isWAL, let main = sqlite3_database_file_object(name) { GatheredFile.of(main).wal = gathered }
    shell.pointee.object = Unmanaged.passRetained(gathered).toOpaque()
    file.pointee.pMethods = UnsafePointer(methods)
    return SQLITE_OK
  }

  // Safe because: written once, before any file has it, and never after.
  nonisolated(unsafe) private static let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
    var table = sqlite3_io_methods.forwardingToShell()
    table.xClose = { file in
      let shell = UnsafeMutableRawPointer(file!).assumingMemoryBound(to: csqlite_file.self)
      let gathered = Unmanaged<GatheredFile>.fromOpaque(shell.pointee.object!).takeRetainedValue()
      let flushed = gathered.flush()
      let code = gathered.below.pointee.pMethods.pointee.xClose(gathered.below)
      return flushed == SQLITE_OK ? code : flushed
    }
    table.xRead = { file, out, count, offset in
      GatheredFile.flushed(file!) { $0.pointee.pMethods.pointee.xRead($0, out, count, offset) }
    }
    table.xWrite = { file, bytes, count, offset in
      GatheredFile.of(file!).write(UnsafeRawBufferPointer(start: bytes, count: Int(count)), at: offset)
    }
    table.xTruncate = { file, size in
      GatheredFile.of(file!).knownSize = 0
      return GatheredFile.flushed(file!) { $0.pointee.pMethods.pointee.xTruncate($0, size) }
    }
    table.xSync = { file, flags in
      let isCommit = GatheredFile.of(file!).kind == .wal && flags & 0xF == SQLITE_SYNC_NORMAL
      return GatheredFile.flushed(file!) { isCommit ? SQLITE_OK : $0.pointee.pMethods.pointee.xSync($0, flags) }
    }
    table.xFileSize = { file, out in GatheredFile.flushed(file!) { $0.pointee.pMethods.pointee.xFileSize($0, out) } }
    table.xLock = { file, level in GatheredFile.flushed(file!) { $0.pointee.pMethods.pointee.xLock($0, level) } }
    table.xUnlock = { file, level in GatheredFile.released(file!) { $0.pointee.pMethods.pointee.xUnlock($0, level) } }
    table.xCheckReservedLock = { file, out in
      GatheredFile.flushed(file!) { $0.pointee.pMethods.pointee.xCheckReservedLock($0, out) }
    }
    table.xFileControl = { file, operation, argument in
      let gathered = GatheredFile.of(file!)
      switch operation {
      case flushOperation: return gathered.flushWithWAL()
      case SQLITE_FCNTL_CKPT_DONE: gathered.flushUnreported()
      case SQLITE_FCNTL_SIZE_HINT: gathered.makeRoom(upTo: argument!.load(as: sqlite3_int64.self))
      default: break
      }
      return gathered.below.pointee.pMethods.pointee.xFileControl(gathered.below, operation, argument)
    }
    table.xShmLock = { file, offset, count, flags in
      let main = GatheredFile.of(file!)
      main.flushUnreported()
      return main.below.pointee.pMethods.pointee.xShmLock(main.below, offset, count, flags)
    }
    table.xShmBarrier = { file in
      let main = GatheredFile.of(file!)
      main.flushUnreported()
      main.below.pointee.pMethods.pointee.xShmBarrier(main.below)
    }
    table.xShmUnmap = { file, delete in GatheredFile.released(file!) { $0.pointee.pMethods.pointee.xShmUnmap($0, delete) } }
    let pointer = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    pointer.initialize(to: table)
    return pointer
  }()

  /// The file control that writes what is gathered. SQLite leaves the numbers above 100 to VFSs.
  static let flushOperation: CInt = 0x5155
}

/// One open file of the VFS: what was written to it last may still be in `buffer`.
///
/// - Precondition: used by one thread at a time, like the connection it belongs to.
private final class GatheredFile {
  enum Kind { case main, wal, other }

  let below: UnsafeMutablePointer<sqlite3_file>
  let kind: Kind
  /// The -wal of a main database file.
  weak var wal: GatheredFile?
  /// Bytes the database file is known to have at least.
  var knownSize: Int64 = 0
  private var buffer: UnsafeMutableRawPointer?
  private let bufferBytes: Int
  private var direct: DirectWrites?
  private var start: Int64 = 0
  private var count = 0
  /// The code of a write that failed where nobody could be told, after SQLite had been told that it succeeded. Final.
  private var lost = SQLITE_OK

  /// One byte less than SQLite's own VFS would take for none at all: it counts the bytes of a write in 17 bits.
  private static let writeBytesMax = (128 << 10) - 1

  init(_ below: UnsafeMutablePointer<sqlite3_file>, _ kind: Kind, descriptor: CInt?) {
    self.below = below
    self.kind = kind
    direct = descriptor.flatMap(DirectWrites.init)
    bufferBytes = direct == nil ? Self.writeBytesMax : DirectWrites.bytesMax
  }

  deinit { buffer?.deallocate() }

  static func of(_ file: UnsafeMutablePointer<sqlite3_file>) -> GatheredFile {
    let shell = UnsafeMutableRawPointer(file).assumingMemoryBound(to: csqlite_file.self)
    return Unmanaged<GatheredFile>.fromOpaque(shell.pointee.object!).takeUnretainedValue()
  }

  /// Calls `body` with the file below after everything gathered is written.
  static func flushed(
    _ file: UnsafeMutablePointer<sqlite3_file>, _ body: (UnsafeMutablePointer<sqlite3_file>) -> CInt
  ) -> CInt {
    let gathered = of(file)
    let code = gathered.flush()
    return code == SQLITE_OK ? body(gathered.below) : code
  }

  /// The same for what must be let go of whatever happens.
  static func released(
    _ file: UnsafeMutablePointer<sqlite3_file>, _ body: (UnsafeMutablePointer<sqlite3_file>) -> CInt
  ) -> CInt {
    let gathered = of(file)
    let flushed = gathered.flush()
    let code = body(gathered.below)
    return flushed == SQLITE_OK ? code : flushed
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) -> CInt {
    guard lost == SQLITE_OK else { return lost }
    let follows = count > 0 && offset == start + Int64(count)
    if count > 0, !follows || count + bytes.count > bufferBytes {
      let code = flush()
      if code != SQLITE_OK { return code }
    }
    guard bytes.count <= bufferBytes, mayGather(upTo: offset + Int64(bytes.count)) else {
      let code = flush()
      guard code == SQLITE_OK else { return code }
      return below.pointee.pMethods.pointee.xWrite(below, bytes.baseAddress, CInt(bytes.count), offset)
    }
    let buffer = buffer ?? .allocate(byteCount: bufferBytes, alignment: DirectIO.alignment)
    self.buffer = buffer
    if count == 0 { start = offset }
    (buffer + count).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
    count += bytes.count
    return SQLITE_OK
  }

  private func mayGather(upTo end: Int64) -> Bool {
    guard kind == .main else { return kind == .wal }
    if end <= knownSize { return true }
    var size: sqlite3_int64 = 0
    guard below.pointee.pMethods.pointee.xFileSize(below, &size) == SQLITE_OK else { return false }
    knownSize = size
    return end <= size
  }

  /// A checkpoint is about to write the file up to `size`: gives it disk space for that, as far as there is some.
  func makeRoom(upTo size: Int64) {
    var current: sqlite3_int64 = 0
    guard let direct, flush() == SQLITE_OK, below.pointee.pMethods.pointee.xFileSize(below, &current) == SQLITE_OK else {
      return
    }
    if current < size { direct.extend(from: current, to: size) }
  }

  /// Writes what is gathered; the buffer is given back, so that an idle file costs nothing.
  ///
  /// - Returns: what the write gave. It is not tried again: SQLite gives the transaction or checkpoint up.
  func flush() -> CInt {
    guard lost == SQLITE_OK, count > 0, let buffer else { return lost }
    let code = write(UnsafeRawBufferPointer(start: buffer, count: count), through: below)
    count = 0
    buffer.deallocate()
    self.buffer = nil
    return code
  }

  private func write(_ bytes: UnsafeRawBufferPointer, through below: UnsafeMutablePointer<sqlite3_file>) -> CInt {
    if let direct {
      switch direct.write(bytes, at: start) {
      case .written: return SQLITE_OK
      case .unfit: break
      // Then SQLite's own way is tried, and says what is wrong.
      case .failed: self.direct = nil
      }
    }
    var position = 0
    while position < bytes.count {
      let part = bytes[position..<min(bytes.count, position + Self.writeBytesMax)]
      let code = below.pointee.pMethods.pointee.xWrite(
        below, UnsafeRawBufferPointer(rebasing: part).baseAddress, CInt(part.count), start + Int64(position))
      guard code == SQLITE_OK else { return code }
      position += part.count
    }
    return SQLITE_OK
  }

  /// Writes what this file and its -wal hold; the first error.
  func flushWithWAL() -> CInt {
    let code = flush()
    let walCode = wal?.flush() ?? SQLITE_OK
    return code == SQLITE_OK ? walCode : code
  }

  /// The same where SQLite takes no error: it is kept for everything that comes after.
  func flushUnreported() {
    let code = flush()
    if code != SQLITE_OK { lost = code }
    guard let wal else { return }
    let walCode = wal.flush()
    if walCode != SQLITE_OK { wal.lost = walCode }
  }
}

extension Connection {
  /// Writes what `GatheringVFS` holds back of this connection's writes; to be called before the files are synced behind SQLite's back.
  ///
  /// - Returns: false if a write failed that SQLite has been told succeeded: nothing of the WAL may be trusted any more.
  public func flushGatheredWrites() -> Bool {
    let code = sqlite3_file_control(handle, "main", GatheringVFS.flushOperation, nil)
    return code == SQLITE_OK || code == SQLITE_NOTFOUND
  }
}
