internal import Glibc
internal import Model
internal import SQLite
internal import Synchronization

/// The file of a sealed segment, read by pieces for a follower: past the page cache, which would be filled with what nobody reads twice.
final class SealedFile {
  private let file: SegmentFile
  private let descriptor: CInt
  private let byteCount: Int64
  private var isDirect = true

  /// - Throws: as `ReplicaFeed.readFile`.
  init(_ name: SegmentName, of log: PartitionLog) throws(StorageError) {
    guard let file = log.shared.withLock({ $0.segments.first { $0.name == name } }) else { throw .refused(.offsetOutOfRange) }
    guard file.currentPhase == .sealed else { throw .refused(.replicaNotAvailable) }
    // Whoever takes the partition's name later has the same paths. The file is not pinned: once it is open it may be unlinked.
    let opened: CInt =
      log.backgroundWork.perform { () -> CInt in
        let direct = Glibc.open(file.path, O_RDONLY | O_CLOEXEC | DirectIO.openFlag)
        return direct >= 0 ? direct : Glibc.open(file.path, O_RDONLY | O_CLOEXEC)
      } ?? -1
    var status = stat()
    guard opened >= 0, fstat(opened, &status) == 0 else {
      let number = errno
      if opened >= 0 { Glibc.close(opened) }
      if file.isGone || log.isDeleted { throw .refused(.offsetOutOfRange) }
      throw .system(call: "open", path: file.path, number: number)
    }
    self.file = file
    descriptor = opened
    byteCount = Int64(status.st_size)
  }

  // Nobody has locks on a file that is read as immutable.
  deinit { Glibc.close(descriptor) }

  /// - Returns: bytes of the whole file.
  func read(at offset: Int64, maxBytes: Int, _ take: (UnsafeRawBufferPointer) -> Void) throws(StorageError) -> Int64 {
    guard !file.isGone else { throw .refused(.offsetOutOfRange) }
    guard offset >= 0, maxBytes > 0, offset < byteCount else { return byteCount }
    let wanted = Int(min(Int64(maxBytes), byteCount - offset))
    let alignment = DirectIO.alignment
    let skipped = Int(offset % Int64(alignment))
    let begin = offset - Int64(skipped)
    let room = UnsafeMutableRawBufferPointer.allocate(
      byteCount: (skipped + wanted + alignment - 1) / alignment * alignment, alignment: alignment)
    defer { room.deallocate() }
    var count = 0
    while count < skipped + wanted {
      // A part that is not aligned any more, such as the end of the file, is left to the page cache.
      let read = pread(descriptor, room.baseAddress! + count, room.count - count, off_t(begin) + off_t(count))
      if read > 0 {
        count += read
      } else if read < 0, errno == EINVAL, isDirect {
        isDirect = false
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~DirectIO.openFlag)
      } else if read == 0 {
        break
      } else if errno != EINTR {
        throw .system(call: "read", path: file.path, number: errno)
      }
    }
    take(UnsafeRawBufferPointer(rebasing: room[min(skipped, count)..<min(count, skipped + wanted)]))
    return byteCount
  }
}
