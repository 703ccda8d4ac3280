internal import Glibc
internal import Synchronization

/// Keeps a data directory to one process, by a lock on a file of its own (`quire.lock`).
final class DirectoryLock: Sendable {
  private let descriptor: CInt

  /// - Throws: `.directoryInUse`, naming the process that has it; system errors.
  init(_ directory: String) throws(StorageError) {
    let path = directory + "/quire.lock"
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw .system(call: "open", path: path, number: errno) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let number = errno
      var bytes = [UInt8](repeating: 0, count: 64)
      let count = max(0, pread(descriptor, &bytes, bytes.count, 0))
      close(descriptor)
      guard number == EWOULDBLOCK else { throw .system(call: "flock", path: path, number: number) }
      let holder = String(decoding: bytes[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
      let who = holder.isEmpty ? "another process" : "process \(holder)"
      throw .directoryInUse("the data directory \(directory) is in use by \(who)")
    }
    // The holder's number is for people; the lock is what counts.
    let line = Array("\(getpid())\n".utf8)
    ftruncate(descriptor, 0)
    pwrite(descriptor, line, line.count, 0)
    self.descriptor = descriptor
  }

  private let isHeld = Mutex(true)

  /// Lets another process in.
  func release() {
    isHeld.withLock { isHeld in
      if isHeld { close(descriptor) }
      isHeld = false
    }
  }

  deinit { release() }
}
