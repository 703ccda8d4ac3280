internal import CSQLite
internal import Glibc

/// A VFS that gathers SQLite's writes of single pages into large ones.
///
/// SQLite writes each frame of the WAL with two calls, 24 bytes and a page, and each page of a checkpoint with one; at volume
/// these calls cost more than everything else a commit does. Here writes that follow each other in a database file or its -wal
/// are put together in a buffer, which is written when it is full, when a write does not follow, and before anything that could
/// tell the difference: reading, syncing, truncating, asking for the size, locks, and the barrier that SQLite sets before it
/// lets readers see a commit (`xShmBarrier`; `flushGatheredWrites` after the commit does not rely on it).
///
/// A -wal is gathered only within the size it has: there a later write cannot run out of space, and what fails at the barrier,
/// which has no way to say so, is a disk that fails. That is kept for `flushGatheredWrites`.
///
/// The database file, written by checkpoints only, goes to the disk past the page cache where the file system can: it is synced
/// a moment later anyway, and copying it into pages that were just allocated cost as much as all the rest of a checkpoint.
public enum GatheringVFS {
  /// What `Connection.init` takes; registers the VFS at its first use. Nil, the system's VFS, should SQLite refuse it.
  public static var name: String? { isRegistered ? vfsName : nil }

  private static let vfsName = "quire-gathering"

  private static let isRegistered: Bool = {
    guard let below = sqlite3_vfs_find(nil) else { return false }
    let vfs = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
    vfs.initialize(to: sqlite3_vfs())
    vfs.pointee.forwardToDefault(below)
    vfs.pointee.szOsFile = CInt(MemoryLayout<csqlite_gathering_file>.stride) + below.pointee.szOsFile
    vfs.pointee.zName = UnsafePointer(csqlite_copy_text(vfsName))
    vfs.pointee.xOpen = { _, name, file, flags, outFlags in GatheringVFS.open(name, file!, flags, outFlags) }
    return sqlite3_vfs_register(vfs, 0) == SQLITE_OK
  }()

  private static func open(
    _ name: UnsafePointer<CChar>?, _ file: UnsafeMutablePointer<sqlite3_file>, _ flags: CInt,
    _ outFlags: UnsafeMutablePointer<CInt>?
  ) -> CInt {
    // A null method table tells SQLite that there is nothing to close.
    file.pointee.pMethods = nil
    let shell = UnsafeMutableRawPointer(file).assumingMemoryBound(to: csqlite_gathering_file.self)
    let below = sqlite3_vfs_find(nil)!
    let fileBelow = csqlite_file_below_gathering(shell)!
    let isWAL = flags & SQLITE_OPEN_WAL != 0
    let isMain = flags & SQLITE_OPEN_MAIN_DB != 0
    let (code, descriptor) = OpenedDescriptor.capture(isWanted: isMain) {
      below.pointee.xOpen(below, name, fileBelow, flags, outFlags)
    }
    guard code == SQLITE_OK else { return code }
    let gathered = GatheredFile(
      fileBelow, gathers: isWAL || isMain, staysWithinSize: isWAL, descriptor: descriptor)
    if isWAL, let main = sqlite3_database_file_object(name) { GatheredFile.of(main).wal = gathered }
    shell.pointee.object = Unmanaged.passRetained(gathered).toOpaque()
    file.pointee.pMethods = UnsafePointer(methods)
    return SQLITE_OK
  }

  // Safe because: written once, before any file has it, and never after.
  nonisolated(unsafe) private static let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
    var table = sqlite3_io_methods()
    // Version 2: shared memory, but no mapping of the database file, past which nothing could be gathered.
    table.iVersion = 2
    table.xClose = { file in
      let shell = UnsafeMutableRawPointer(file!).assumingMemoryBound(to: csqlite_gathering_file.self)
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
    table.xSync = { file, flags in GatheredFile.flushed(file!) { $0.pointee.pMethods.pointee.xSync($0, flags) } }
    table.xFileSize = { file, out in GatheredFile.flushed(file!) { $0.pointee.pMethods.pointee.xFileSize($0, out) } }
    table.xLock = { file, level in GatheredFile.flushed(file!) { $0.pointee.pMethods.pointee.xLock($0, level) } }
    table.xUnlock = { file, level in GatheredFile.flushed(file!) { $0.pointee.pMethods.pointee.xUnlock($0, level) } }
    table.xCheckReservedLock = { file, out in
      GatheredFile.flushed(file!) { $0.pointee.pMethods.pointee.xCheckReservedLock($0, out) }
    }
    table.xFileControl = { file, operation, argument in
      if operation == flushOperation { return GatheredFile.of(file!).flushWithWAL() }
      return GatheredFile.of(file!).below.pointee.pMethods.pointee.xFileControl(
        GatheredFile.of(file!).below, operation, argument)
    }
    table.xSectorSize = { file in
      GatheredFile.of(file!).below.pointee.pMethods.pointee.xSectorSize(GatheredFile.of(file!).below)
    }
    table.xDeviceCharacteristics = { file in
      GatheredFile.of(file!).below.pointee.pMethods.pointee.xDeviceCharacteristics(GatheredFile.of(file!).below)
    }
    table.xShmMap = { file, region, size, extend, out in
      GatheredFile.of(file!).below.pointee.pMethods.pointee.xShmMap(GatheredFile.of(file!).below, region, size, extend, out)
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
    table.xShmUnmap = { file, delete in
      GatheredFile.flushed(file!) { $0.pointee.pMethods.pointee.xShmUnmap($0, delete) }
    }
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
  let below: UnsafeMutablePointer<sqlite3_file>
  private let gathers: Bool
  private let staysWithinSize: Bool
  /// The -wal of a main database file.
  weak var wal: GatheredFile?
  /// Bytes the file is known to have at least; only of a file that is gathered within its size.
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

  init(_ below: UnsafeMutablePointer<sqlite3_file>, gathers: Bool, staysWithinSize: Bool, descriptor: CInt?) {
    self.below = below
    self.gathers = gathers
    self.staysWithinSize = staysWithinSize
    direct = descriptor.flatMap(DirectWrites.init)
    bufferBytes = direct == nil ? Self.writeBytesMax : DirectWrites.bytesMax
  }

  deinit { buffer?.deallocate() }

  static func of(_ file: UnsafeMutablePointer<sqlite3_file>) -> GatheredFile {
    let shell = UnsafeMutableRawPointer(file).assumingMemoryBound(to: csqlite_gathering_file.self)
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

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) -> CInt {
    guard lost == SQLITE_OK else { return lost }
    let follows = count > 0 && offset == start + Int64(count)
    if count > 0, !follows || count + bytes.count > bufferBytes {
      let code = flush()
      if code != SQLITE_OK { return code }
    }
    guard gathers, bytes.count <= bufferBytes, mayGather(upTo: offset + Int64(bytes.count)) else {
      let code = flush()
      guard code == SQLITE_OK else { return code }
      return below.pointee.pMethods.pointee.xWrite(below, bytes.baseAddress, CInt(bytes.count), offset)
    }
    let buffer = buffer ?? .allocate(byteCount: bufferBytes, alignment: DirectWrites.alignment)
    self.buffer = buffer
    if count == 0 { start = offset }
    (buffer + count).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
    count += bytes.count
    return SQLITE_OK
  }

  private func mayGather(upTo end: Int64) -> Bool {
    guard staysWithinSize, end > knownSize else { return true }
    var size: sqlite3_int64 = 0
    guard below.pointee.pMethods.pointee.xFileSize(below, &size) == SQLITE_OK else { return false }
    knownSize = size
    return end <= size
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
      case .failed(let number): return number == ENOSPC || number == EDQUOT ? SQLITE_FULL : SQLITE_IOERR | (3 << 8)
      case .unfit: break
      case .unsupported: self.direct = nil
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
