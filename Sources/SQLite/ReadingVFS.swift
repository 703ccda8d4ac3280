internal import CSQLite
internal import Glibc

/// A VFS that reads long stretches of a database file past the page cache, where whoever reads has said that it will be long.
///
/// What checkpoints wrote past the page cache is not in it. Reading it the usual way fills the cache with pages that nobody may ask
/// for again, and finding room for them costs several times the reading itself. So a reader that expects many pages in the order
/// in which they lie in the file says so (`Connection.expectSequentialRead`), and they come in large pieces, through SQLite's own
/// descriptor, into a buffer that is given back when the stretch is over.
public enum ReadingVFS {
  /// What `Connection.init` takes; registers the VFS at its first use. Nil, the system's VFS, should SQLite refuse it.
  public static var name: String? { isRegistered ? vfsName : nil }

  private static let vfsName = "quire-reading"

  private static let isRegistered = sqlite3_vfs.registerShell(vfsName) { _, name, file, flags, outFlags in
    ReadingVFS.open(name, file!, flags, outFlags)
  }

  private static func open(
    _ name: UnsafePointer<CChar>?, _ file: UnsafeMutablePointer<sqlite3_file>, _ flags: CInt,
    _ outFlags: UnsafeMutablePointer<CInt>?
  ) -> CInt {
    openShell(name, file, flags, outFlags, methods) { openBelow in
      let (code, descriptor) = OpenedDescriptor.capture(isWanted: true, openBelow)
      return (code, SequentialReads(descriptor: descriptor))
    }
  }

  // Safe because: written once, before any file has it, and never after.
  nonisolated(unsafe) private static let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
    var table = sqlite3_io_methods.forwardingToShell()
    table.xClose = { file in closeShell(file!, of: SequentialReads.self) }
    table.xRead = { file, out, count, offset in
      if reads(file!).read(UnsafeMutableRawBufferPointer(start: out, count: Int(count)), at: offset) { return SQLITE_OK }
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xRead(below, out, count, offset)
    }
    table.xFileControl = { file, operation, argument in
      if operation == expectOperation {
        reads(file!).expect(argument!.load(as: Int.self))
        return SQLITE_OK
      }
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xFileControl(below, operation, argument)
    }
    table.xShmLock = { file, offset, count, flags in
      // A read ends or begins: only within one it is sure that no checkpoint changes the pages it may ask for.
      reads(file!).forget()
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xShmLock(below, offset, count, flags)
    }
    let pointer = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    pointer.initialize(to: table)
    return pointer
  }()

  private static func reads(_ file: UnsafeMutablePointer<sqlite3_file>) -> SequentialReads {
    let shell = UnsafeMutableRawPointer(file).assumingMemoryBound(to: csqlite_file.self)
    return Unmanaged<SequentialReads>.fromOpaque(shell.pointee.object!).takeUnretainedValue()
  }

  /// The file control that says how many bytes are to come. SQLite leaves the numbers above 100 to VFSs.
  fileprivate static let expectOperation: CInt = 0x5156
}

/// What of one open file was read ahead.
///
/// - Precondition: used by one thread at a time, like the connection it belongs to.
private final class SequentialReads {
  private static let bufferBytesMax = 1 << 20
  /// Reads that follow each other before any is taken for the beginning of a stretch.
  private static let runMin = 3
  /// One page of an index may lie between two that belong to rows.
  private static let gapBytesMax: Int64 = 16 << 10

  private var descriptor: CInt?
  private var expectedBytes = 0
  private var run = 0
  private var end: Int64 = -1
  private var buffer: UnsafeMutableRawBufferPointer?
  private var start: Int64 = 0
  private var count = 0

  init(descriptor: CInt?) { self.descriptor = descriptor }

  deinit { buffer?.deallocate() }

  func expect(_ bytes: Int) {
    expectedBytes = bytes
    guard bytes <= 0 else { return }
    forget()
    buffer?.deallocate()
    buffer = nil
  }

  func forget() { count = 0 }

  /// - Returns: false if `out` is to be read the usual way.
  func read(_ out: UnsafeMutableRawBufferPointer, at offset: Int64) -> Bool {
    if take(out, at: offset) { return true }
    guard expectedBytes > 0, let descriptor else { return false }
    run = offset >= end && offset <= end + Self.gapBytesMax ? run + 1 : 0
    end = offset + Int64(out.count)
    guard run >= Self.runMin else { return false }
    fill(from: offset & ~Int64(DirectIO.alignment - 1), through: descriptor)
    return take(out, at: offset)
  }

  private func take(_ out: UnsafeMutableRawBufferPointer, at offset: Int64) -> Bool {
    guard let buffer, offset >= start, offset + Int64(out.count) <= start + Int64(count) else { return false }
    out.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[Int(offset - start)...].prefix(out.count)))
    end = offset + Int64(out.count)
    return true
  }

  private func fill(from offset: Int64, through descriptor: CInt) {
    let buffer = buffer ?? .allocate(byteCount: Self.bufferBytesMax, alignment: DirectIO.alignment)
    self.buffer = buffer
    let wanted = min(expectedBytes, buffer.count - DirectIO.alignment) + DirectIO.alignment
    let aligned = wanted / DirectIO.alignment * DirectIO.alignment
    (start, count) = (offset, 0)
    guard let read = DirectIO.read(UnsafeMutableRawBufferPointer(rebasing: buffer[..<aligned]), at: offset, descriptor) else {
      // This file system reads everything through its cache.
      self.descriptor = nil
      return
    }
    count = read
    expectedBytes -= read
  }
}

extension Connection {
  /// Says that about so many bytes of the database file will be read in the order in which they lie there, by a reader after whom
  /// nobody may want them soon; 0 when that is over. Means something to connections over `ReadingVFS` only.
  public func expectSequentialRead(of bytes: Int) {
    var bytes = bytes
    _ = sqlite3_file_control(handle, "main", ReadingVFS.expectOperation, &bytes)
  }
}
