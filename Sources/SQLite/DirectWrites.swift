internal import CSQLite
internal import Glibc
internal import Synchronization

/// Large writes to a file past the page cache, through the descriptor that SQLite itself has open.
///
/// A descriptor of our own would not do: closing it drops every lock the process has on the file.
struct DirectWrites {
  enum Outcome {
    case written
    /// Too small, or not aligned: to be written the usual way.
    case unfit
    /// The file system does not do this, or the disk failed.
    case failed
  }

  static let bytesMax = 4 << 20
  /// Smaller writes come from checkpoints of a few pages, which are wanted in the page cache again soon.
  private static let bytesMin = 64 << 10

  private let descriptor: CInt
  private let flags: CInt

  /// - Returns: nil if the descriptor cannot be written through.
  init?(descriptor: CInt) {
    let flags = fcntl(descriptor, F_GETFL)
    guard flags >= 0, flags & O_ACCMODE == O_RDWR else { return nil }
    self.descriptor = descriptor
    self.flags = flags
  }

  /// - Precondition: nobody else uses the descriptor meanwhile.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) -> Outcome {
    guard bytes.count >= Self.bytesMin, bytes.count % DirectIO.alignment == 0, offset % Int64(DirectIO.alignment) == 0 else {
      return .unfit
    }
    guard fcntl(descriptor, F_SETFL, flags | DirectIO.openFlag) == 0 else { return .failed }
    defer { _ = fcntl(descriptor, F_SETFL, flags) }
    var position = 0
    while position < bytes.count {
      let count = pwrite(descriptor, bytes.baseAddress! + position, bytes.count - position, off_t(offset) + position)
      if count < 0, errno == EINTR { continue }
      if count < 0 { return .failed }
      // A part that is not aligned any more is left to the usual way, with all that was written before it: the same bytes again.
      guard count > 0, count % DirectIO.alignment == 0 else { return .unfit }
      position += count
    }
    return .written
  }

  /// Gives the file disk space; it is no larger where that fails.
  func extend(from size: Int64, to newSize: Int64) {
    if posix_fallocate(descriptor, off_t(size), off_t(newSize - size)) != 0 { _ = ftruncate(descriptor, off_t(size)) }
  }
}

/// Reading and writing past the page cache.
public enum DirectIO {
  /// O_DIRECT; Swift's Glibc does not have it, since it differs between processors.
  public static let openFlag: CInt = {
    #if arch(arm64) || arch(arm)
      0o200000
    #else
      0o40000
    #endif
  }()

  /// What addresses, offsets and lengths must be multiples of.
  public static let alignment = 4096

  /// Reads through a descriptor that is open for reading through the page cache.
  ///
  /// - Precondition: nobody else uses the descriptor meanwhile; everything is aligned.
  /// - Returns: the number of bytes, fewer at the end of the file; nil where this file system cannot, or the disk failed.
  static func read(_ buffer: UnsafeMutableRawBufferPointer, at offset: Int64, _ descriptor: CInt) -> Int? {
    let flags = fcntl(descriptor, F_GETFL)
    guard flags >= 0, fcntl(descriptor, F_SETFL, flags | openFlag) == 0 else { return nil }
    defer { _ = fcntl(descriptor, F_SETFL, flags) }
    while true {
      let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
      if count < 0, errno == EINTR { continue }
      return count < 0 ? nil : count
    }
  }
}

/// Learns which descriptor SQLite's own VFS opens a file with, through the system call table that SQLite has for such purposes.
enum OpenedDescriptor {
  private struct Watch {
    var thread: pthread_t
    var descriptor: CInt?
  }
  private static let watch = Mutex<Watch?>(nil)
  private static let opening = Mutex<Void>(())

  /// Runs `open`; what the last `open` call of this thread within it returned.
  static func capture(isWanted: Bool, _ open: () -> CInt) -> (code: CInt, descriptor: CInt?) {
    guard isWanted, isInstalled else { return (open(), nil) }
    return opening.withLock { _ in
      let me = pthread_self()
      watch.withLock { $0 = Watch(thread: me) }
      let code = open()
      let descriptor = watch.withLock { watch in
        defer { watch = nil }
        return watch?.descriptor
      }
      return (code, descriptor)
    }
  }

  private static let isInstalled: Bool = {
    guard let vfs = sqlite3_vfs_find(nil), vfs.pointee.iVersion >= 3, let set = vfs.pointee.xSetSystemCall else { return false }
    let open: @convention(c) (UnsafePointer<CChar>, CInt, CInt) -> CInt = { path, flags, mode in
      let descriptor = Glibc.open(path, flags, mode_t(mode))
      let number = errno
      OpenedDescriptor.watch.withLock { watch in
        if let thread = watch?.thread, pthread_equal(thread, pthread_self()) != 0 { watch?.descriptor = descriptor }
      }
      errno = number
      return descriptor
    }
    return set(vfs, "open", unsafeBitCast(open, to: sqlite3_syscall_ptr.self)) == SQLITE_OK
  }()
}
