internal import Logging
internal import Model
internal import Pages
internal import SQLite
internal import Synchronization

/// The commits of one segment as page sets, made once for all followers of it.
///
/// The lane says what it has committed. Followers' threads do the work: whoever asks first reads the frames, hashes them and makes the set.
/// What holds it together: until its frames are captured the lane copies none of them into the database file, so that a page lies either in
/// the newest frame that was captured, or, unchanged since the -wal was begun, in the file. Where that was not so after all, hashes and
/// commit sequences tell, and the capture ends; followers begin again with a new one.
///
// Safe because: `progress` is guarded by `monitor`, which is held for moments; everything else that changes by `work`, which the lane only
// ever tries to take.
final class SegmentCapture: @unchecked Sendable {
  /// How it is over for whoever followed it.
  enum End: Sendable {
    /// The segment goes on, and the lane has, or makes, another capture.
    case replaced
    /// The segment has a successor, and everything in front of that was handed out, or is not to be had as pages.
    case rolled(SegmentCapture)
    case failed(StorageError)
  }

  /// How far the lane has come.
  struct Progress {
    var committed: CommitPosition
    var captured: Int64
    var successor: SegmentCapture?
    var end: End?
    /// Frames that were read ahead may be those of a commit that failed.
    var isReadAheadStale = false
    /// The -wal was let go of, with all of it in the file.
    var isLogStale = false
    var listeners: [ObjectIdentifier: Listener] = [:]
    /// Followers whose cursors are still to be forgotten.
    var departed: [ObjectIdentifier] = []
  }

  struct Listener {
    let notify: @Sendable () -> Void
  }

  let file: SegmentFile
  let pageSize: PageSize
  /// The partition's when it began.
  let fenceCount: Int
  let store: StoreShared
  let monitor = Monitor()
  private(set) var progress: Progress
  let work = Monitor()

  // Guarded by `work`.

  /// The page with the position, and how many pages there were when the capture began.
  let statePage: PageNumber
  let firstPageCount: Int
  /// The commit up to which everything was captured.
  var position: CommitPosition
  var sums: PageSums
  /// Whether `sums` are those of all pages.
  var isReady = false
  var place: SegmentPosition?
  /// Batches that were there when the capture began, and how many of them were verified.
  let batchesEnd: Int64
  var checkedUpTo: Int64
  /// The segment is damaged here: it may be given to who has nothing of it, but must not replace what others have.
  var damage: StorageDamage?
  /// Hashes of the file's pages as an earlier life left them, while pages are hashed; nil where none were kept.
  var keptSums: PageSums?
  var log: (file: LogFile, reader: WALReader)?
  /// The newest frame of each page in the -wal, up to `position`.
  var frames: [PageNumber: Int] = [:]
  /// The -wal was in the file when the capture began: it may be begun anew at any commit.
  let wasFolded: Bool
  var sets: CapturedSets
  private var countedSetBytes = 0
  /// Commit sequences that followers were handed.
  var cursors: [ObjectIdentifier: Int64] = [:]

  /// - Parameters:
  ///   - position: of the last commit.
  ///   - isFolded: the file alone is the database as of that.
  ///   - batchesEnd: where its batches end.
  /// - Precondition: on the lane, with no transaction open.
  init(
    _ file: SegmentFile, _ store: StoreShared, position: CommitPosition, pageSize: PageSize, pageCount: Int,
    statePage: PageNumber, isFolded: Bool, fenceCount: Int, batchesEnd: Int64
  ) {
    self.batchesEnd = batchesEnd
    checkedUpTo = file.baseOffset
    self.file = file
    self.store = store
    self.position = position
    self.pageSize = pageSize
    self.statePage = statePage
    firstPageCount = pageCount
    wasFolded = isFolded
    self.fenceCount = fenceCount
    sums = PageSums(pageSize: pageSize)
    sets = CapturedSets(waitingBytesMax: store.options.replicaWaitingBytesMax)
    // Frames in front of the position are needed until all pages are hashed.
    progress = Progress(committed: position, captured: position.commitSequence - (isFolded ? 0 : 1))
  }

  deinit {
    store.waitingSetBytes.subtract(countedSetBytes, ordering: .relaxed)
    store.forgetCapture(of: file)
  }

  var segmentBase: Int64 { file.baseOffset }

  // The lane

  /// A transaction was committed, and need not be durable yet.
  func noteCommit(_ position: CommitPosition) {
    let listeners = monitor.withLock {
      progress.committed = position
      return progress.listeners
    }
    for listener in listeners.values { listener.notify() }
  }

  /// Something about the partition changed that followers want to know.
  func wake() {
    let listeners = monitor.withLock { progress.listeners }
    for listener in listeners.values { listener.notify() }
  }

  /// A transaction failed: its frames, should they have come to the -wal, will be written over.
  func noteRollback() { monitor.withLock { progress.isReadAheadStale = true } }

  /// The write connection was closed with all of the -wal in the file: there will be another one.
  func noteLogClosed() { monitor.withLock { progress.isLogStale = true } }

  /// Whether frames would be lost if they were copied into the file now, so that the -wal could begin anew.
  var isBehind: Bool {
    monitor.withLock {
      progress.end == nil && !progress.listeners.isEmpty && progress.captured < progress.committed.commitSequence
    }
  }

  /// Whether folding leaves the capture as it is.
  var isComplete: Bool { monitor.withLock { progress.captured == progress.committed.commitSequence } }

  var hasFollowers: Bool { monitor.withLock { !progress.listeners.isEmpty } }

  /// The segment has a successor: what is left of it goes first.
  func roll(to successor: SegmentCapture) {
    let listeners = monitor.withLock {
      progress.successor = successor
      return progress.listeners
    }
    for listener in listeners.values { listener.notify() }
  }

  /// Ends the capture for everybody; the first end counts.
  func finish(_ end: End) {
    let listeners = monitor.withLock {
      if progress.end == nil { progress.end = progress.successor.map { .rolled($0) } ?? end }
      return progress.listeners
    }
    for listener in listeners.values { listener.notify() }
  }

  // Followers

  func join(_ follower: ObjectIdentifier, notify: @escaping @Sendable () -> Void) {
    monitor.withLock {
      progress.listeners[follower] = Listener(notify: notify)
      progress.departed.removeAll { $0 == follower }
    }
  }

  /// Never waits for whoever is at work: a lane may be what lets go of a feed last.
  func leave(_ follower: ObjectIdentifier) {
    monitor.withLock {
      progress.listeners[follower] = nil
      progress.departed.append(follower)
    }
    forgetDeparted()
  }

  /// Gives up `work`, and does what was left to whoever has it.
  func endWork() {
    work.unlock()
    forgetDeparted()
  }

  private func forgetDeparted() {
    while monitor.withLock({ !progress.departed.isEmpty }), work.tryLock() {
      let departed = monitor.withLock {
        defer { progress.departed = [] }
        return progress.departed
      }
      for follower in departed { cursors[follower] = nil }
      trim()
      work.unlock()
    }
  }

  // What is captured

  /// - Precondition: `work` is held.
  func noteCaptured(upTo position: CommitPosition) {
    self.position = position
    monitor.withLock { progress.captured = position.commitSequence }
  }

  /// How far it may be captured now; nil if there is nothing to do.
  ///
  /// - Precondition: `work` is held.
  func nextTarget() -> CommitPosition? {
    let (committed, isReadAheadStale, isLogStale) = monitor.withLock {
      defer { (progress.isReadAheadStale, progress.isLogStale) = (false, false) }
      return (progress.committed, progress.isReadAheadStale, progress.isLogStale)
    }
    if isLogStale {
      log = nil
      frames = [:]
    } else if isReadAheadStale, let known = log {
      log = (known.file, WALReader(from: known.reader.chain))
    }
    guard position.commitSequence < committed.commitSequence else { return nil }
    if store.waitingSetBytes.load(ordering: .relaxed) > Limits.replicaWaitingBytesTotalMax, sets.byteCount > 0 { return nil }
    // Those that are too slow find out later; nobody makes sets that nobody can take.
    if let fastest = cursors.values.max(), sets.bytes(behind: fastest) > sets.waitingBytesMax / 2 { return nil }
    return committed
  }

  /// - Precondition: `work` is held.
  func trim() {
    sets.trim(takenUpTo: cursors.values.min() ?? .max)
    store.waitingSetBytes.add(sets.byteCount - countedSetBytes, ordering: .relaxed)
    countedSetBytes = sets.byteCount
  }

  var end: End? { monitor.withLock { progress.end } }
  var successor: SegmentCapture? { monitor.withLock { progress.successor } }

  /// What was read is not what must be there.
  ///
  /// - Returns: false, for whoever found out.
  func lose(_ reason: String) -> Bool {
    store.logger.warning(
      "pages of a segment are captured anew for its followers", metadata: ["file": "\(file.path)", "reason": "\(reason)"])
    finish(.replaced)
    return false
  }
}
