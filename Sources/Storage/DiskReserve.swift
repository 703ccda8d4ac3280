internal import Glibc
internal import Synchronization

/// Bytes kept back on the disk, so that a node can start and retention can commit when everything else is full.
///
/// Once given up, it is for those two: appends are refused until there is room to keep it back again.
final class DiskReserve: Sendable {
  private let path: String
  private let bytes: Int
  private let isHeld = Mutex(false)
  private let spent = Atomic<Bool>(false)

  init(path: String, bytes: Int) {
    self.path = path
    self.bytes = bytes
  }

  /// Whether it was given up, and what is left of it must not be filled with records.
  var isSpent: Bool { spent.load(ordering: .relaxed) }

  private var freeBytes: UInt64? {
    var disk = statvfs()
    guard statvfs(FileSystem.parent(of: path), &disk) == 0 else { return nil }
    return UInt64(disk.f_bavail) * UInt64(disk.f_frsize)
  }

  /// Whether a file may be made larger by `count` bytes to fold a WAL into it: half a fold frees nothing, and what was given up
  /// would be gone.
  func allowsFolding(_ count: Int) -> Bool {
    guard isSpent, let freeBytes else { return true }
    return freeBytes > UInt64(count + bytes / 2)
  }

  /// Before the first database is opened: each needs room for its -wal and -shm, which a full disk has none for.
  func makeRoomToStart() {
    guard bytes > 0, let freeBytes, freeBytes < UInt64(bytes) else { return }
    unlink(path)
    spent.store(true, ordering: .relaxed)
  }

  /// Writes the reserve, if it is not there and there is room for it twice over.
  func hold() {
    isHeld.withLock { isHeld in
      guard !isHeld, bytes > 0 else { return }
      defer { if isHeld { spent.store(false, ordering: .relaxed) } }
      if FileSystem.size(of: path) == bytes {
        isHeld = true
        return
      }
      guard let freeBytes, freeBytes > UInt64(2 * bytes) else { return }
      let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
      guard descriptor >= 0 else { return }
      defer { close(descriptor) }
      do throws(StorageError) {
        try FileSystem.extend(descriptor, to: bytes, path: path)
        isHeld = fsync(descriptor) == 0
      } catch { unlink(path) }
    }
  }

  /// At the end: where the reserve was given up and not gained back, keeps most of what room there is for the next start, lest somebody else take
  /// it meanwhile.
  func keepForNextStart() {
    isHeld.withLock { isHeld in
      guard !isHeld, bytes > 0, let freeBytes else { return }
      let room = min(Int(clamping: freeBytes / 4 * 3), bytes)
      let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
      guard descriptor >= 0 else { return }
      defer { close(descriptor) }
      do throws(StorageError) { try FileSystem.extend(descriptor, to: room, path: path) } catch { unlink(path) }
    }
  }

  /// Gives the room to whoever frees more by using it.
  ///
  /// - Returns: false if there was none to give.
  func release() -> Bool {
    isHeld.withLock { isHeld in
      guard isHeld else { return false }
      isHeld = false
      spent.store(true, ordering: .relaxed)
      return unlink(path) == 0
    }
  }
}
