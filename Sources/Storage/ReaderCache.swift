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
  private let databases: OpenDatabases
  private let cacheKiB: Int
  private let logger: Logger

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
    let isImmutable = try file.enterVerified(logger: logger)
    defer { file.leave() }
    let connection = try take(file, isImmutable)
    do throws(StorageError) {
      let result = try body(connection)
      giveBack(connection)
      return result
    } catch {
      databases.noteClosed()
      if case .damaged = error { databases.noteDamagedRead() }
      throw error
    }
  }

  private func take(_ file: SegmentFile, _ isImmutable: Bool) throws(StorageError) -> SegmentConnection {
    let cached: SegmentConnection? = monitor.withLock {
      idle.lastIndex { $0.file === file }.map { idle.remove(at: $0) }
    }
    if let cached { return cached }
    databases.willOpenReader()
    do throws(StorageError) { return try SegmentConnection(file, isImmutable: isImmutable, cacheKiB: cacheKiB) } catch {
      databases.noteClosed()
      throw error
    }
  }

  private func giveBack(_ connection: SegmentConnection) {
    monitor.lock()
    idle.append(connection)
    monitor.unlock()
    databases.trim()
  }

  /// Closes the least recently used idle connection; false if there is none.
  private func evictOldest() -> Bool {
    let oldest: SegmentConnection? = monitor.withLock { idle.isEmpty ? nil : idle.removeFirst() }
    guard oldest != nil else { return false }
    databases.noteClosed()
    return true
  }

  /// Closes the idle connections to `file`.
  ///
  /// - Precondition: its gate is closed, or it is about to be removed.
  func drop(_ file: SegmentFile) {
    let dropped = monitor.withLock {
      let found = idle.filter { $0.file === file }
      idle.removeAll { $0.file === file }
      return found
    }
    for _ in dropped { databases.noteClosed() }
  }

  func dropAll() {
    let dropped = monitor.withLock {
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
  static func compute(_ path: String, passingCache: Bool = false) throws(StorageError) -> SegmentRecord.Seal {
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
        if errno == EINVAL, passingCache { return try compute(path) }
        throw .system(call: "read", path: path, number: errno)
      }
      if count == 0 { return SegmentRecord.Seal(fileBytes: size, hash: hash.value) }
      hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      size += Int64(count)
    }
  }
}
