internal import CCodecs
internal import CSQLite
internal import Glibc

/// Databases that are written once, sealed page by page, and then only read: each page carries a checksum, which is verified whenever
/// SQLite reads it.
///
/// The last bytes of each page are reserved for it: a number that only this file has, and the hash of the page, of that number and of the
/// page's place. So a flipped bit, a page that never came to the disk, one of another file and one in the wrong place are all found, and no
/// file needs a sync to be believed: what a power loss has left of it does not verify.
public enum VerifiedPages {
  public static let pageSize = 4096
  /// Of each page's end: the file's number, the hash.
  static let sealBytes = 16

  /// What `Connection.init` takes to read a sealed database; registers the VFS at its first use. Nil should SQLite refuse it.
  public static var vfsName: String? { isRegistered ? name : nil }
  private static let name = "quire-verified"

  /// Sets up an empty database for pages that will be sealed. Before anything is written to it.
  public static func prepare(_ connection: Connection) throws(SQLiteError) {
    try connection.execute("PRAGMA page_size=\(pageSize); PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF")
    var reserved = CInt(sealBytes)
    _ = sqlite3_file_control(connection.handle, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved)
    guard reserved <= CInt(sealBytes) else {
      throw SQLiteError(code: SQLITE_ERROR, message: "SQLite reserves no bytes in pages")
    }
  }

  /// Seals every page of a database that no connection has open.
  ///
  /// - Parameters:
  ///   - number: of this file alone.
  ///   - shouldStop: asked now and then; true makes it fail as interrupted.
  /// - Returns: bytes of the file.
  @discardableResult
  public static func seal(
    _ path: String, number: UInt64, shouldStop: () -> Bool = { false }
  ) throws(SQLiteError) -> Int {
    let descriptor = Glibc.open(path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(path, "open") }
    defer { close(descriptor) }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * pageSize, alignment: 16)
    defer { buffer.deallocate() }
    var offset = 0
    while true {
      let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
      guard count >= 0, count % pageSize == 0 else { throw failure(path, "read") }
      if count == 0 { return offset }
      if shouldStop() { throw SQLiteError(code: SQLITE_INTERRUPT, message: "\(path): interrupted") }
      for start in stride(from: 0, to: count, by: pageSize) {
        let page = UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + pageSize])
        page.storeBytes(of: number, toByteOffset: pageSize - sealBytes, as: UInt64.self)
        page.storeBytes(of: hash(UnsafeRawBufferPointer(page), at: offset + start), toByteOffset: pageSize - 8, as: UInt64.self)
      }
      guard pwrite(descriptor, buffer.baseAddress, count, off_t(offset)) == count else { throw failure(path, "write") }
      offset += count
    }
  }

  /// Reads a sealed file whole.
  ///
  /// - Parameter shouldStop: asked now and then; true ends it, and nothing is known then.
  /// - Returns: whether every page verifies; false also if it cannot be read, or was stopped.
  public static func verify(_ path: String, shouldStop: () -> Bool = { false }) -> Bool {
    let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * pageSize, alignment: 16)
    defer { buffer.deallocate() }
    var offset = 0
    var number: UInt64?
    while true {
      let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
      guard count >= 0, count % pageSize == 0 else { return false }
      if count == 0 { return offset > 0 }
      if shouldStop() { return false }
      for start in stride(from: 0, to: count, by: pageSize) {
        let page = UnsafeRawBufferPointer(rebasing: buffer[start..<start + pageSize])
        guard let found = verifiedNumber(of: page, at: offset + start), found == number ?? found else { return false }
        number = found
      }
      offset += count
    }
  }

  private static func failure(_ path: String, _ call: String) -> SQLiteError {
    SQLiteError(code: SQLITE_IOERR, message: "\(path): \(call): \(String(cString: strerror(errno)))")
  }

  private static func hash(_ page: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
    var state = ccodecs_xxh64()
    ccodecs_xxh64_begin(&state)
    ccodecs_xxh64_update(&state, page.baseAddress, pageSize - 8)
    var place = UInt64(offset)
    ccodecs_xxh64_update(&state, &place, 8)
    return ccodecs_xxh64_end(&state)
  }

  /// The file's number in a page; nil if the page is not what was sealed.
  fileprivate static func verifiedNumber(of page: UnsafeRawBufferPointer, at offset: Int) -> UInt64? {
    guard page.load(fromByteOffset: pageSize - 8, as: UInt64.self) == hash(page, at: offset) else { return nil }
    return page.load(fromByteOffset: pageSize - sealBytes, as: UInt64.self)
  }

  private static let isRegistered = sqlite3_vfs.registerShell(name) { _, name, file, flags, outFlags in
    VerifiedPages.open(name, file!, flags, outFlags)
  }

  private static func open(
    _ name: UnsafePointer<CChar>?, _ file: UnsafeMutablePointer<sqlite3_file>, _ flags: CInt,
    _ outFlags: UnsafeMutablePointer<CInt>?
  ) -> CInt {
    openShell(name, file, flags, outFlags, methods) { openBelow in (openBelow(), VerifiedFile()) }
  }

  // Safe because: written once, before any file has it, and never after.
  nonisolated(unsafe) private static let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
    var table = sqlite3_io_methods.forwardingToShell()
    table.xClose = { file in closeShell(file!, of: VerifiedFile.self) }
    table.xRead = { file, out, count, offset in
      let shell = UnsafeMutableRawPointer(file!).assumingMemoryBound(to: csqlite_file.self)
      let verified = Unmanaged<VerifiedFile>.fromOpaque(shell.pointee.object!)
      return verified._withUnsafeGuaranteedRef {
        $0.read(UnsafeMutableRawBufferPointer(start: out, count: Int(count)), at: Int(offset), csqlite_file_below(shell)!)
      }
    }
    table.xWrite = { _, _, _, _ in SQLITE_READONLY }
    let pointer = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    pointer.initialize(to: table)
    return pointer
  }()
}

/// One open sealed file.
///
/// - Precondition: used by one thread at a time, like the connection it belongs to.
private final class VerifiedFile {
  private let page = UnsafeMutableRawBufferPointer.allocate(byteCount: VerifiedPages.pageSize, alignment: 16)
  private var number: UInt64?
  /// SQLITE_IOERR_DATA: a checksum is wrong.
  private static let damaged = SQLITE_IOERR | 32 << 8

  deinit { page.deallocate() }

  /// Whatever piece is asked for, it is taken out of whole pages.
  func read(_ out: UnsafeMutableRawBufferPointer, at offset: Int, _ file: UnsafeMutablePointer<sqlite3_file>) -> CInt {
    var done = 0
    while done < out.count {
      let within = (offset + done) % VerifiedPages.pageSize
      let code = load(offset + done - within, file)
      if code != SQLITE_OK { return code }
      let count = min(out.count - done, VerifiedPages.pageSize - within)
      UnsafeMutableRawBufferPointer(rebasing: out[done..<done + count])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: page[within..<within + count]))
      done += count
    }
    return SQLITE_OK
  }

  private func load(_ offset: Int, _ file: UnsafeMutablePointer<sqlite3_file>) -> CInt {
    let code = file.pointee.pMethods.pointee.xRead(file, page.baseAddress, CInt(page.count), Int64(offset))
    // A file that ends early is no page of zeros.
    guard code == SQLITE_OK else { return code & 0xFF == SQLITE_IOERR ? Self.damaged : code }
    guard let found = VerifiedPages.verifiedNumber(of: UnsafeRawBufferPointer(page), at: offset), found == number ?? found
    else {
      return Self.damaged
    }
    number = found
    return SQLITE_OK
  }
}
