internal import Glibc
internal import Model
internal import Synchronization

/// The file of a sealed segment, read by pieces for a follower.
final class SealedFile {
  private let file: SegmentFile
  private let descriptor: CInt
  private let byteCount: Int64

  /// - Throws: as `ReplicaFeed.readFile`.
  init(_ name: SegmentName, of log: PartitionLog) throws(StorageError) {
    guard let file = log.shared.withLock({ $0.segments.first { $0.name == name } }) else { throw .refused(.offsetOutOfRange) }
    guard file.currentPhase == .sealed else { throw .refused(.replicaNotAvailable) }
    // Whoever takes the partition's name later has the same paths. The file is not pinned: once it is open it may be unlinked.
    let opened = log.backgroundWork.perform { Glibc.open(file.path, O_RDONLY | O_CLOEXEC) } ?? -1
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

  func read(at offset: Int64, maxBytes: Int) throws(StorageError) -> (bytes: [UInt8], total: Int64) {
    guard !file.isGone else { throw .refused(.offsetOutOfRange) }
    guard offset >= 0, maxBytes > 0, offset < byteCount else { return ([], byteCount) }
    let wanted = Int(min(Int64(maxBytes), byteCount - offset))
    var failure: CInt = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: wanted) { room, count in
      while count < wanted {
        let read = pread(descriptor, room.baseAddress! + count, wanted - count, off_t(offset) + off_t(count))
        if read == 0 { break }
        if read > 0 {
          count += read
        } else if errno != EINTR {
          failure = errno
          break
        }
      }
    }
    if failure != 0 { throw .system(call: "read", path: file.path, number: failure) }
    return (bytes, byteCount)
  }
}
