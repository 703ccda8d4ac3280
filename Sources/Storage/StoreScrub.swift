internal import CoreMetrics
internal import Logging
internal import Model
internal import Synchronization

/// Reads everything that is stored again and again, slowly, and compares it with what it should be: sealed files with their hashes, the pages of active
/// segments with their sums where somebody follows, and else batch by batch with their checksums.
///
/// What a reader finds damaged is looked at in the same way, at once. A follower gets it anew from its leader; of a leader somebody is told.
///
// Safe because: everything that changes is guarded by `monitor`; `thread` is written before anybody else sees the object.
final class StoreScrub: @unchecked Sendable {
  private let monitor = Monitor()
  private let store: StoreShared
  private let logs: @Sendable () -> [PartitionLog]
  private var suspects: [SegmentFile] = []
  private var isStopping = false
  private var thread: StorageThread?
  /// Monotonic nanoseconds before which nothing more may be read.
  private var mayReadAt: Int64 = 0

  private static let pieceBytes = 1 << 20
  private static let suspectsMax = 1_000

  init(_ store: StoreShared, logs: @escaping @Sendable () -> [PartitionLog]) {
    self.store = store
    self.logs = logs
    thread = StorageThread("scrub", niceness: 19) { [unowned self] in self.run() }
  }

  func stop() {
    monitor.lock()
    isStopping = true
    monitor.broadcast()
    monitor.unlock()
    thread?.join()
  }

  /// A reader met damage. Any thread, does not block.
  func suspect(_ file: SegmentFile) {
    monitor.lock()
    if suspects.count < Self.suspectsMax, !suspects.contains(where: { $0 === file }) { suspects.append(file) }
    monitor.broadcast()
    monitor.unlock()
  }

  private var bytesPerSecond: Int { store.options.scrubBytesPerSecond }

  private func run() {
    while true {
      if bytesPerSecond > 0 {
        for log in logs() where !log.isDeleted {
          scrub(log)
          examineSuspects()
          if isEnded { return }
        }
      }
      guard waitForNext() else { return }
      examineSuspects()
    }
  }

  /// One round, on the caller's thread.
  func runOnce() {
    for log in logs() where !log.isDeleted { scrub(log) }
    examineSuspects()
  }

  private var isEnded: Bool { monitor.withLock { isStopping } }

  /// Until the next round, or until somebody met damage.
  ///
  /// - Returns: false at the end.
  private func waitForNext() -> Bool {
    let end = monotonicNanoseconds() + store.options.scrubPauseMilliseconds * 1_000_000
    while true {
      monitor.lock()
      while !isStopping, suspects.isEmpty, monotonicNanoseconds() < end { monitor.wait(until: end) }
      let (isStopping, hasSuspects) = (isStopping, !suspects.isEmpty)
      monitor.unlock()
      if isStopping { return false }
      if hasSuspects { examineSuspects() }
      if monotonicNanoseconds() >= end { return true }
    }
  }

  /// Waits until so many bytes more may be read.
  ///
  /// - Returns: false at the end.
  private func take(_ byteCount: Int, isUrgent: Bool) -> Bool {
    store.metrics.scrubbedBytes.increment(by: Int64(byteCount))
    monitor.lock()
    defer { monitor.unlock() }
    if !isUrgent, bytesPerSecond > 0 {
      mayReadAt = max(mayReadAt, monotonicNanoseconds()) + Int64(Double(byteCount) / Double(bytesPerSecond) * 1e9)
      while !isStopping, monotonicNanoseconds() < mayReadAt { monitor.wait(until: mayReadAt) }
    }
    return !isStopping
  }

  private func examineSuspects() {
    let files = monitor.withLock {
      defer { suspects = [] }
      return suspects
    }
    for file in files where !file.isGone {
      guard let log = logs().first(where: { $0.directory == file.directory && !$0.isDeleted }) else { continue }
      let isActive = log.shared.withLock { $0.segments.last === file }
      if isActive { scrubActive(of: log, file, isUrgent: true) } else { scrubSealed(file, of: log, isUrgent: true) }
    }
  }

  private func scrub(_ log: PartitionLog) {
    let segments = log.shared.withLock { $0.isDeleted ? [] : $0.segments }
    for file in segments.dropLast() {
      scrubSealed(file, of: log, isUrgent: false)
      if isEnded || log.isDeleted { return }
    }
    if let active = segments.last { scrubActive(of: log, active, isUrgent: false) }
  }

  private func scrubSealed(_ file: SegmentFile, of log: PartitionLog, isUrgent: Bool) {
    guard file.currentPhase == .sealed, let seal = file.currentRecord?.seal, file.pin() else { return }
    defer { file.unpin() }
    var found: SegmentRecord.Seal?
    var failure: StorageError?
    do throws(StorageError) {
      found = try FileHash.compute(file.path, passingCache: true, mayGoOn: { take($0, isUrgent: isUrgent) })
    } catch { failure = error }
    if found == seal || found == nil && failure == nil || file.isGone || log.isDeleted { return }
    file.noteDamaged()
    report(file, of: log, failure.map { "\($0)" } ?? "the file is not the one that was sealed (its hash differs)")
  }

  private func scrubActive(of log: PartitionLog, _ file: SegmentFile, isUrgent: Bool) {
    if log.isReplica {
      store.follower(of: log)?.scrubActive { take($0, isUrgent: isUrgent) }
      return
    }
    // What is open goes on without its name, and would be gone with the process.
    if !FileSystem.exists(file.path), !file.isGone, !log.isDeleted { return report(file, of: log, "the file is gone") }
    do throws(StorageError) {
      if let capture = store.capture(of: file) {
        try capture.scrub { take($0, isUrgent: isUrgent) }
        if !isUrgent { return }
      }
      try readBatches(file, of: log, isUrgent)
    } catch {
      guard case .damaged(let damage) = error, !file.isGone, !log.isDeleted else { return }
      report(file, of: log, damage.reason)
    }
  }

  private func readBatches(_ file: SegmentFile, of log: PartitionLog, _ isUrgent: Bool) throws(StorageError) {
    guard let offsets = log.offsets, log.shared.withLock({ $0.segments.last === file }) else { return }
    var position = max(file.baseOffset, offsets.logStartOffset.rawValue)
    let end = offsets.highWatermark.rawValue
    while position < end {
      let begin = position
      let bytes = try store.readers.withConnection(to: file) { connection throws(StorageError) in
        try connection.checkBatches(position: &position, below: end, maxBytes: Self.pieceBytes)
      }
      guard position > begin, take(bytes, isUrgent: isUrgent) else { return }
    }
  }

  /// Says that a file of a log is damaged: a follower wants it anew, and of a leader whoever can hand it over is told.
  func report(_ file: SegmentFile, of log: PartitionLog, _ reason: String) {
    let (isReplica, isNews) = log.shared.withLock { shared in
      defer { if !shared.isReplica { shared.isDamaged = true } }
      return (shared.isReplica, shared.isReplica || !shared.isDamaged)
    }
    if isNews {
      store.metrics.damageFound.increment()
      store.logger.error(
        "damage was found", metadata: ["partition": "\(log.topicPartition)", "file": "\(file.path)", "reason": "\(reason)"])
    }
    if isReplica {
      store.follower(of: log)?.tickSoon()
      return
    }
    store.damaged(DamagedLeader(topicPartition: log.topicPartition, topicID: log.topicID, epoch: log.leaderEpoch))
  }
}
