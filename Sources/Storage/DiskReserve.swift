internal import Glibc
internal import Synchronization

/// Bytes kept back on the disk, so that retention can still commit when everything else is full.
final class DiskReserve: Sendable {
  private let path: String
  private let bytes: Int
  private let isHeld = Mutex(false)

  init(path: String, bytes: Int) {
    self.path = path
    self.bytes = bytes
  }

  /// Writes the reserve, if it is not there and there is room for it twice over.
  func hold() {
    isHeld.withLock { isHeld in
      guard !isHeld, bytes > 0 else { return }
      if FileSystem.size(of: path) == bytes {
        isHeld = true
        return
      }
      var disk = statvfs()
      guard statvfs(path.isEmpty ? "." : FileSystem.parent(of: path), &disk) == 0 else { return }
      guard UInt64(disk.f_bavail) * UInt64(disk.f_frsize) > UInt64(2 * bytes) else { return }
      let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
      guard descriptor >= 0 else { return }
      defer { close(descriptor) }
      do throws(StorageError) {
        try FileSystem.extend(descriptor, from: 0, to: bytes, path: path)
        isHeld = fsync(descriptor) == 0
      } catch { unlink(path) }
    }
  }

  /// Gives the room to whoever frees more by using it.
  ///
  /// - Returns: false if there was none to give.
  func release() -> Bool {
    isHeld.withLock { isHeld in
      guard isHeld else { return false }
      isHeld = false
      return unlink(path) == 0
    }
  }
}
