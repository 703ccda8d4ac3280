internal import CSQLite
import Synchronization

/// The disk that one connection may use for sorting and for materialised results, counted and bounded.
///
/// SQLite spills to temporary files without a bound of its own, and `max_page_count` reaches none of them. So this is a VFS: it hands
/// each temporary file of the connection to the system's VFS and counts how far it grows. It opens nothing but temporary files: a
/// connection over it cannot read or create a database file whatever the SQL says. Register one for each connection, and let it
/// live longer than the connection.
public final class TemporaryStorage: @unchecked Sendable {
  // Safe because: the counters are atomic, and the rest is written in init, before SQLite knows of it.
  private let vfs: UnsafeMutablePointer<sqlite3_vfs>
  private let bytesMax: Int64
  private let shouldStop: @Sendable () -> Bool
  private let used = Atomic<Int64>(0)
  private let refusals = Atomic<Int>(0)
  /// What `sqlite3_open_v2` takes as the VFS's name.
  public let vfsName: String

  private static let serial = Atomic<UInt64>(0)

  /// Bytes in temporary files now.
  public var bytesUsed: Int64 { used.load(ordering: .relaxed) }
  /// A write was refused because it would have gone past the bound.
  public var wasExhausted: Bool { refusals.load(ordering: .relaxed) > 0 }

  /// - Parameters:
  ///   - bytesMax: bytes in all temporary files of the connection together.
  ///   - shouldStop: asked before each write; true ends the statement with SQLITE_INTERRUPT. Merging what a sort has spilled is one
  ///     step of SQLite's machine, within which nothing else asks.
  public init(bytesMax: Int64, shouldStop: @escaping @Sendable () -> Bool) throws(VirtualTableError) {
    SQLiteLibrary.configure()
    self.bytesMax = bytesMax
    self.shouldStop = shouldStop
    guard let below = sqlite3_vfs_find(nil) else { throw .failed("SQLite has no default VFS") }
    vfsName = "quire-temporary-\(Self.serial.add(1, ordering: .relaxed).newValue)"
    vfs = .allocate(capacity: 1)
    vfs.initialize(to: sqlite3_vfs())
    vfs.pointee.forwardToDefault(below)
    vfs.pointee.zName = UnsafePointer(csqlite_copy_text(vfsName))
    vfs.pointee.pAppData = Unmanaged.passUnretained(self).toOpaque()
    vfs.pointee.xOpen = { vfs, name, file, flags, outFlags in
      TemporaryStorage.open(vfs!, name, file!, flags, outFlags)
    }
    let code = sqlite3_vfs_register(vfs, 0)
    guard code == SQLITE_OK else {
      throw VirtualTableError(code: code, message: "SQLite refused a VFS for temporary files")
    }
  }

  deinit {
    sqlite3_vfs_unregister(vfs)
    sqlite3_free(UnsafeMutableRawPointer(mutating: vfs.pointee.zName))
    vfs.deallocate()
  }

  private static func open(
    _ vfs: UnsafeMutablePointer<sqlite3_vfs>, _ name: UnsafePointer<CChar>?, _ file: UnsafeMutablePointer<sqlite3_file>,
    _ flags: CInt, _ outFlags: UnsafeMutablePointer<CInt>?
  ) -> CInt {
    // A null method table tells SQLite that there is nothing to close.
    file.pointee.pMethods = nil
    guard name == nil, flags & SQLITE_OPEN_DELETEONCLOSE != 0 else { return SQLITE_CANTOPEN }
    let counted = UnsafeMutableRawPointer(file).assumingMemoryBound(to: csqlite_file.self)
    let below = sqlite3_vfs_find(nil)!
    let code = below.pointee.xOpen(below, name, csqlite_file_below(counted), flags, outFlags)
    guard code == SQLITE_OK else { return code }
    counted.pointee.object = vfs.pointee.pAppData
    counted.pointee.size = 0
    file.pointee.pMethods = UnsafePointer(methods)
    return SQLITE_OK
  }

  /// Counts a file's growth to `size`; false if there is no room for it.
  private func grow(_ file: UnsafeMutablePointer<csqlite_file>, to size: Int64) -> Bool {
    let growth = size - file.pointee.size
    guard growth > 0 else { return true }
    guard used.load(ordering: .relaxed) + growth <= bytesMax else {
      refusals.add(1, ordering: .relaxed)
      return false
    }
    used.add(growth, ordering: .relaxed)
    file.pointee.size = size
    return true
  }

  private func shrink(_ file: UnsafeMutablePointer<csqlite_file>, to size: Int64) {
    guard size < file.pointee.size else { return }
    used.subtract(file.pointee.size - size, ordering: .relaxed)
    file.pointee.size = size
  }

  private static func owner(_ file: UnsafeMutablePointer<csqlite_file>) -> TemporaryStorage {
    Unmanaged<TemporaryStorage>.fromOpaque(file.pointee.object!).takeUnretainedValue()
  }

  // Safe because: written once, before any file has it, and never after.
  nonisolated(unsafe) private static let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
    var table = sqlite3_io_methods()
    // Version 1: no shared memory and no mapping, so every growth goes through xWrite.
    table.iVersion = 1
    table.xClose = { file in
      let counted = UnsafeMutableRawPointer(file!).assumingMemoryBound(to: csqlite_file.self)
      owner(counted).shrink(counted, to: 0)
      let below = csqlite_file_below(counted)!
      return below.pointee.pMethods.pointee.xClose(below)
    }
    table.xRead = { file, out, count, offset in
      let below = csqlite_file_below(UnsafeMutableRawPointer(file!).assumingMemoryBound(to: csqlite_file.self))!
      return below.pointee.pMethods.pointee.xRead(below, out, count, offset)
    }
    table.xWrite = { file, bytes, count, offset in
      let counted = UnsafeMutableRawPointer(file!).assumingMemoryBound(to: csqlite_file.self)
      if owner(counted).shouldStop() { return SQLITE_INTERRUPT }
      guard owner(counted).grow(counted, to: offset + Int64(count)) else { return SQLITE_FULL }
      let below = csqlite_file_below(counted)!
      return below.pointee.pMethods.pointee.xWrite(below, bytes, count, offset)
    }
    table.xTruncate = { file, size in
      let counted = UnsafeMutableRawPointer(file!).assumingMemoryBound(to: csqlite_file.self)
      let below = csqlite_file_below(counted)!
      let code = below.pointee.pMethods.pointee.xTruncate(below, size)
      if code == SQLITE_OK { owner(counted).shrink(counted, to: size) }
      return code
    }
    table.xFileSize = { file, out in
      let below = csqlite_file_below(UnsafeMutableRawPointer(file!).assumingMemoryBound(to: csqlite_file.self))!
      return below.pointee.pMethods.pointee.xFileSize(below, out)
    }
    // Nobody else sees the file and it does not outlive the connection: there is nothing to sync, lock or hint.
    table.xSync = { _, _ in SQLITE_OK }
    table.xLock = { _, _ in SQLITE_OK }
    table.xUnlock = { _, _ in SQLITE_OK }
    table.xCheckReservedLock = { _, out in
      out!.pointee = 0
      return SQLITE_OK
    }
    table.xFileControl = { _, _, _ in SQLITE_NOTFOUND }
    table.xSectorSize = { _ in 4096 }
    table.xDeviceCharacteristics = { _ in 0 }
    let pointer = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    pointer.initialize(to: table)
    return pointer
  }()
}
