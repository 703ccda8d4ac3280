internal import Bytes
internal import CoreMetrics
internal import DequeModule
internal import Glibc
internal import Logging
internal import Model
internal import SQLite

/// Read connections to segments: opened when needed, kept while there is room, the least recently used closed first.
///
// Safe because: everything that changes is guarded by `monitor`; a connection is in the cache or with one reader, never both.
final class ReaderCache: @unchecked Sendable {
  private let monitor = Monitor()
  /// Idle connections, the least recently used first.
  private var idle: [SegmentConnection] = []
  private var isClosed = false
  private let databases: OpenDatabases
  private let cacheKiB: Int
  private let logger: Logger
  /// Called with a file that a reader found damaged; set once, before anybody reads.
  var onDamage: (@Sendable (SegmentFile) -> Void)?

  init(databases: OpenDatabases, cacheKiB: Int, logger: Logger) {
    self.databases = databases
    self.cacheKiB = cacheKiB
    self.logger = logger
    databases.setEvictor { [unowned self] in self.evictOldest() }
  }

  /// Runs `body` with a connection to `file`, which nobody else uses meanwhile.
  func withConnection<R>(
    to file: SegmentFile, _ body: (SegmentConnection) throws(StorageError) -> R
  ) throws(StorageError) -> R {
    let connection = try take(file)
    do throws(StorageError) {
      let result = try body(connection)
      giveBack(connection)
      return result
    } catch {
      discard(connection)
      switch error {
      case .damaged: noteDamage(of: file)
      case .sqlite(let cause) where cause.isCorruption: noteDamage(of: file)
      default: break
      }
      throw error
    }
  }

  /// Somebody who read `file` met damage.
  func noteDamage(of file: SegmentFile) {
    databases.noteDamagedRead()
    onDamage?(file)
  }

  /// A connection to `file`, which nobody else uses until it is given back or discarded.
  func take(_ file: SegmentFile) throws(StorageError) -> SegmentConnection {
    let isImmutable: Bool
    do throws(StorageError) { isImmutable = try file.enterVerified(logger: logger) } catch {
      if file.isDamaged { onDamage?(file) }
      throw error
    }
    if isImmutable, file.takeDamageNews() { onDamage?(file) }
    let cached: SegmentConnection? = monitor.withLock {
      idle.lastIndex { $0.file === file }.map { idle.remove(at: $0) }
    }
    if let cached { return cached }
    do throws(StorageError) {
      // What is open outlives the statement of whoever wanted it first, and what is closed for it was another's.
      return try MemoryBudget.exempting { () throws(StorageError) in
        databases.willOpenReader()
        return try SegmentConnection(file, isImmutable: isImmutable, cacheKiB: cacheKiB, isShared: true)
      }
    } catch {
      databases.noteClosed()
      file.leave()
      throw error
    }
  }

  /// - Precondition: nothing of the connection is being read, and it has seen no error.
  func giveBack(_ connection: SegmentConnection) {
    let file = connection.file
    let isKept = monitor.withLock {
      if !isClosed { idle.append(connection) }
      return !isClosed
    }
    if !isKept { return discard(connection) }
    MemoryBudget.exempting {
      // Whoever removed the file while it was read has dropped its connections already.
      if file.isGone { drop(file) }
      databases.trim()
    }
    file.leave()
  }

  /// Closes a connection that was taken.
  func discard(_ connection: consuming SegmentConnection) {
    let file = connection.file
    _ = consume connection
    databases.noteClosed()
    file.leave()
  }

  /// Closes the least recently used idle connection; false if there is none.
  private func evictOldest() -> Bool {
    let oldest: SegmentConnection? = monitor.withLock { idle.isEmpty ? nil : idle.removeFirst() }
    guard oldest != nil else { return false }
    databases.noteClosed()
    return true
  }

  /// Closes the idle connections to `file`, and those that an earlier role of this node in the partition has left: any of them keeps the -wal.
  ///
  /// - Precondition: its gate is closed, or it is about to be removed.
  func drop(_ file: SegmentFile) {
    let dropped = monitor.withLock {
      let isOfFile = { (connection: SegmentConnection) in connection.file === file || connection.file.path == file.path }
      let found = idle.filter(isOfFile)
      idle.removeAll(where: isOfFile)
      return found
    }
    for _ in dropped { databases.noteClosed() }
  }

  /// The end: what is given back from now on is closed.
  func close() {
    let dropped = monitor.withLock {
      isClosed = true
      let all = idle
      idle.removeAll()
      return all
    }
    for _ in dropped { databases.noteClosed() }
  }

  /// Whether nothing of `file` may be believed but its batches; reads it whole the first time.
  func isDamaged(_ file: SegmentFile) throws(StorageError) -> Bool {
    _ = try file.enterVerified(logger: logger)
    defer { file.leave() }
    return file.isDamaged
  }
}

/// The hash of a sealed file.
enum FileHash {
  /// - Precondition: no connection of this process has the file open, except as immutable.
  /// - Parameter passingCache: nobody will read the file soon: it is read past the page cache, where that is possible.
  ///
  /// - Parameter each: gets the bytes of the file, piece by piece in their order.
  static func compute(
    _ path: String, passingCache: Bool = false, each: (UnsafeRawBufferPointer) -> Void = { _ in }
  ) throws(StorageError) -> SegmentRecord.Seal {
    try compute(path, passingCache: passingCache, each: each, mayGoOn: { _ in true })!
  }

  /// - Parameter mayGoOn: called after each piece with its bytes.
  /// - Returns: nil where it said no.
  static func compute(
    _ path: String, passingCache: Bool, each: (UnsafeRawBufferPointer) -> Void = { _ in }, mayGoOn: (Int) -> Bool
  ) throws(StorageError) -> SegmentRecord.Seal? {
    var descriptor: CInt = passingCache ? open(path, O_RDONLY | O_CLOEXEC | DirectIO.openFlag) : -1
    if descriptor < 0 { descriptor = open(path, O_RDONLY | O_CLOEXEC) }
    guard descriptor >= 0 else { throw .system(call: "open", path: path, number: errno) }
    defer { close(descriptor) }
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
    var hash = XXH64()
    var size: Int64 = 0
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: DirectIO.alignment)
    defer { buffer.deallocate() }
    while true {
      let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
      if count < 0 {
        if errno == EINTR { continue }
        if errno == EINVAL, passingCache, size == 0 {
          return try compute(path, passingCache: false, each: each, mayGoOn: mayGoOn)
        }
        throw .system(call: "read", path: path, number: errno)
      }
      if count == 0 { return SegmentRecord.Seal(fileBytes: size, hash: hash.value) }
      hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      each(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      size += Int64(count)
      if !mayGoOn(count) { return nil }
    }
  }
}
