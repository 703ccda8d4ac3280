internal import Logging
internal import Model

/// One segment's file as everybody in the process shares it: who reads it, who pins it, and how it may be opened.
///
// Safe because: everything that changes is guarded by `monitor`.
final class SegmentFile: @unchecked Sendable {
  /// How far a segment has come.
  enum Phase: Sendable {
    /// Appended to.
    case active
    /// A successor is active; its WAL has not been folded into the file yet.
    case closing
    /// Never written again and without a WAL: opened as immutable.
    case sealed
    /// Named by the active segment of a replica, and still to come from the leader.
    case missing
  }

  let directory: String
  let name: SegmentName
  let path: String
  var baseOffset: Int64 { name.baseOffset }

  /// The file's number in its file system, where its hash is still to be verified: a topic that takes the name of a deleted one has
  /// files of the same paths.
  private let inode: UInt64?

  private let monitor = Monitor()
  private var phase: Phase
  private var record: SegmentRecord?
  private var isHashVerified: Bool
  private var isFoundDamaged = false
  /// Nobody was told of it yet.
  private var isDamageNews = false
  /// Somebody else has it whole: it is rather not read than as far as its batches are intact.
  private var refusesDamaged = false
  private var readUpTo: Int64 = 0
  private var readerCount = 0
  private var pinCount = 0
  private var isGateClosed = false
  private var isRemoved = false

  /// - Parameters:
  ///   - record: nil for the active segment.
  ///   - path: where the file lies elsewhere than a store puts it.
  init(directory: String, name: SegmentName, phase: Phase, record: SegmentRecord?, path: String? = nil) {
    self.directory = directory
    self.name = name
    self.path = path ?? "\(directory)/\(name.fileName)"
    self.phase = phase
    self.record = record
    isHashVerified = record?.seal == nil
    inode = record?.seal == nil ? nil : FileSystem.inode(of: "\(directory)/\(name.fileName)")
  }

  var currentPhase: Phase { monitor.withLock { phase } }
  var currentRecord: SegmentRecord? { monitor.withLock { record } }

  // Readers

  /// Lets a reader in, which waits while the segment is being sealed.
  ///
  /// - Returns: how to open the file, and the seal that must be verified before.
  /// - Throws: when the file is gone.
  func enter() throws(StorageError) -> (isImmutable: Bool, unverified: SegmentRecord.Seal?) {
    monitor.lock()
    defer { monitor.unlock() }
    while isGateClosed { monitor.wait() }
    if isRemoved {
      throw .damaged(StorageDamage(file: path, baseOffset: nil, offset: Offset(baseOffset), reason: "the segment was removed"))
    }
    if phase == .missing || refusesDamaged && isFoundDamaged {
      throw .damaged(
        StorageDamage(
          file: path, baseOffset: nil, offset: Offset(baseOffset), reason: "the segment has still to come from the leader"))
    }
    readerCount += 1
    return (phase == .sealed, isHashVerified ? nil : record?.seal)
  }

  /// Lets a reader in, after the seal was verified where it had to be.
  ///
  /// - Returns: whether the file is opened as immutable.
  func enterVerified(logger: Logger?) throws(StorageError) -> Bool {
    let (isImmutable, unverified) = try enter()
    guard let unverified else { return isImmutable }
    verify(unverified, logger: logger)
    if monitor.withLock({ refusesDamaged && isFoundDamaged }) {
      leave()
      throw .damaged(
        StorageDamage(
          file: path, baseOffset: nil, offset: Offset(baseOffset), reason: "the file is not the one that was sealed"))
    }
    return isImmutable
  }

  func leave() {
    monitor.lock()
    readerCount -= 1
    monitor.unlock()
  }

  /// Keeps readers out, if there are none now.
  func closeGate() -> Bool {
    monitor.lock()
    defer { monitor.unlock() }
    guard readerCount == 0, !isGateClosed else { return false }
    isGateClosed = true
    return true
  }

  func openGate() {
    monitor.lock()
    isGateClosed = false
    monitor.broadcast()
    monitor.unlock()
  }

  // Its course

  func becomeClosing(_ record: SegmentRecord) {
    monitor.lock()
    phase = .closing
    self.record = record
    monitor.unlock()
  }

  /// The WAL is gone: from now on the file is opened as immutable.
  func becomeSealed() {
    monitor.lock()
    phase = .sealed
    isHashVerified = true
    monitor.unlock()
  }

  /// What is there is not what the leader has: nobody reads it until it was copied anew.
  func becomeMissing() {
    monitor.lock()
    phase = .missing
    monitor.unlock()
  }

  /// It was compared with its hash again, and differs.
  func noteDamaged() { monitor.withLock { (isFoundDamaged, isHashVerified) = (true, true) } }

  /// True once after a difference was found by who came to read.
  func takeDamageNews() -> Bool {
    monitor.withLock {
      defer { isDamageNews = false }
      return isDamageNews
    }
  }

  func refuseIfDamaged() { monitor.withLock { refusesDamaged = true } }

  func setSeal(_ seal: SegmentRecord.Seal) {
    monitor.lock()
    record?.seal = seal
    monitor.unlock()
  }

  /// Compares a sealed file with the hash it was sealed with, before its first use in this life.
  ///
  /// A difference is said once. After that the batches decide, each by its own CRC, what can still be read; nothing else of the file
  /// is taken at its word (`isDamaged`).
  func verify(_ seal: SegmentRecord.Seal, logger: Logger?) {
    let complaint: String?
    do throws(StorageError) {
      // Not opened otherwise: closing a descriptor of a database in use would drop SQLite's locks on it.
      guard FileSystem.inode(of: path) == inode else { return }
      let found = try FileHash.compute(path)
      complaint = found == seal ? nil : "the file is not the one that was sealed (its hash differs)"
    } catch { complaint = "\(error)" }
    monitor.lock()
    let isNews = complaint != nil && !isFoundDamaged
    isHashVerified = true
    isFoundDamaged = complaint != nil
    isDamageNews = isNews
    monitor.unlock()
    if isNews, let complaint {
      logger?.error("damaged segment", metadata: ["file": "\(path)", "reason": "\(complaint)"])
    }
  }

  /// The file is not the one that was sealed: its index and what its rows say of their batches may be wrong.
  var isDamaged: Bool { monitor.withLock { isFoundDamaged } }

  /// The next reader has not to read the file whole before.
  var isReadyToRead: Bool { monitor.withLock { isHashVerified || record?.seal == nil } }

  // The page cache: whoever reads a file first passes it, whoever comes after that fills and uses it

  /// Whether nobody has read what begins at `offset`, as far as is known.
  func isUnread(from offset: Int64) -> Bool { monitor.withLock { offset >= readUpTo } }
  func noteRead(upTo offset: Int64) { monitor.withLock { readUpTo = max(readUpTo, offset) } }

  // Pins: whoever took a snapshot may still open the file

  /// - Returns: false if the file is gone.
  func pin() -> Bool {
    monitor.lock()
    defer { monitor.unlock() }
    if isRemoved { return false }
    pinCount += 1
    return true
  }

  func unpin() {
    monitor.lock()
    pinCount -= 1
    monitor.unlock()
  }

  /// The file has been claimed for removal.
  var isGone: Bool { monitor.withLock { isRemoved } }

  /// Claims the file for removal: nobody can open it any more.
  ///
  /// - Returns: false while it is pinned or read.
  func claimRemoval(force: Bool = false) -> Bool {
    monitor.lock()
    defer { monitor.unlock() }
    guard force || (pinCount == 0 && readerCount == 0 && !isGateClosed) else { return false }
    isRemoved = true
    return true
  }
}
