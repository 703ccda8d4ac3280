internal import Glibc
internal import Pages

/// A -wal read through a descriptor of our own, which is safe: unlike the database it carries no locks.
///
// Safe because: the descriptor never changes, and is read at offsets.
final class LogFile: @unchecked Sendable {
  private let path: String
  private let descriptor: CInt

  /// - Returns: nil where there is none.
  init?(_ path: String) throws(StorageError) {
    self.path = path
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor >= 0 { return }
    if errno == ENOENT { return nil }
    throw .system(call: "open", path: path, number: errno)
  }

  deinit { close(descriptor) }

  /// Whether so many frames of the log with this header follow each other unharmed.
  func hasFrames(_ count: Int, of header: WALHeader) throws(StorageError) -> Bool {
    var reader = WALReader(from: WALChain(header))
    while reader.chain.frameCount < count { guard case .commit = try reader.next(read: read) else { return false } }
    return true
  }

  /// Fills `room` from `offset` on, as far as there are bytes before the end of the file.
  ///
  /// - Returns: how many bytes there were.
  func read(_ offset: Int, _ room: UnsafeMutableRawBufferPointer) throws(StorageError) -> Int {
    var done = 0
    while done < room.count {
      let count = pread(descriptor, room.baseAddress! + done, room.count - done, off_t(offset + done))
      if count == 0 { break }
      if count > 0 { done += count } else if errno != EINTR { throw .system(call: "read", path: path, number: errno) }
    }
    return done
  }
}
