internal import Glibc
public import Model
public import Pages
internal import Synchronization

/// What one follower of a partition is to be sent: page sets of the active segment's commits, in their order, across rolls.
///
/// Nothing that is appended waits for it. A follower that falls too far behind, or has something else than the leader, is asked for
/// the hashes of its pages and gets those that differ.
///
// Safe because: whoever follows uses it from one thread at a time; `arrival`, `known` and `fenceCount` are guarded by `monitor`.
public final class ReplicaFeed: @unchecked Sendable {
  public enum Change: Sendable {
    /// To be applied to what the follower has; or, as a full state, to a new segment.
    case pages(PageSet)
    /// `pageHashes` is to be called with what the follower has of this segment; meanwhile there are no pages.
    case wantsPageHashes(segmentBase: Int64)
    /// Readers may see records below this, as far as the follower has them.
    case highWatermark(Offset)
  }

  public let topicPartition: TopicPartition
  public let follower: NodeID
  private let log: PartitionLog
  private let notify: @Sendable () -> Void
  private let monitor = Monitor()
  private var arrival: Arrival?

  private var place: FollowerPlace
  private var capture: SegmentCapture? {
    didSet { monitor.withLock { fenceCount = capture?.fenceCount } }
  }
  /// Of the capture, while there is one.
  private var fenceCount: Int?
  private var generation: Int64?
  private var sentHighWatermark: Offset?
  private var hasSentPages = false
  private var hasRolled = false
  private var isClosed = false
  private let presence = Presence()
  private let identity = FeedIdentity()
  /// What the follower is known to have of the leader's commits: what it says of others does not count.
  private var known: (from: CommitPosition, to: CommitPosition)?
  private var open: (name: SegmentName, file: SealedFile)?

  /// Whether the lane has counted the feed.
  ///
  // Safe because: looked at on the lane's thread only.
  private final class Presence: @unchecked Sendable {
    var isCounted = false
  }

  /// What the lane gives.
  private enum Arrival {
    case awaited
    case capture(SegmentCapture)
    case failure(StorageError)
    case unwanted
  }

  init(_ log: PartitionLog, follower: NodeID, from standing: ReplicaStanding?, notify: @escaping @Sendable () -> Void) {
    self.log = log
    self.follower = follower
    self.notify = notify
    topicPartition = log.topicPartition
    place = .unknown(standing)
    askForCapture()
  }

  deinit { close() }

  private var id: ObjectIdentifier { ObjectIdentifier(self) }

  // Pages

  /// What the follower is to be sent next; nil where there is nothing now: `notify` says when that may have changed.
  ///
  /// - Parameter maxBytes: what the caller has room for. A set is handed out all the same where it is larger: it has the commits that were
  ///   captured together, for all followers alike, about 2 MiB of pages unless one commit, or a repair, has more.
  /// - Throws: `.unknownPartition` when it is gone, `.fenced` while it cannot be appended to, what the disk says: the feed is to be closed,
  ///   and another one opened later.
  public func next(maxBytes: Int) throws(StorageError) -> Change? {
    if isClosed { throw .closed }
    // In between, lest readers over there see nothing new while there are always more pages.
    if hasSentPages, let change = highWatermark() { return change }
    while true {
      guard let capture = try currentCapture() else { return nil }
      let step = try capture.step(&place, of: id, mayRoll: !hasRolled)
      note(step)
      switch step {
      case .pages(let set):
        (hasSentPages, hasRolled) = (true, false)
        return .pages(set)
      case .wantsPageHashes: return .wantsPageHashes(segmentBase: capture.segmentBase)
      case .nothing: return highWatermark()
      case .again:
        notify()
        return nil
      case .needsRoll:
        hasRolled = true
        leave()
        place = .unknown(nil)
        forgetKnown()
        askForCapture(rolling: capture)
      case .ended(.replaced):
        leave()
        // Whatever it is sent next has to go on from what it was sent last.
        place = .unknown(place.standing)
        forgetKnown()
        askForCapture()
      case .ended(.rolled(let next)):
        next.join(id, notify: notify)
        leave()
        self.capture = next
        generation = next.file.name.generation
        place = .unknown(nil)
      case .ended(.failed(let error)): throw error
      }
    }
  }

  /// Keeps what the follower will have in common with the leader.
  private func note(_ step: SegmentCapture.Step) {
    var isRepair = false
    if case .pages(let set) = step { isRepair = set.header.flags.contains(.resync) }
    monitor.withLock {
      guard case .following(let standing) = place else {
        known = nil
        return
      }
      known = ((isRepair ? nil : known?.from) ?? standing.position, standing.position)
    }
  }

  /// What is said of commits of a former capture must not pass as said of the next one's: the log may have been rebuilt in between.
  private func forgetKnown() { monitor.withLock { known = nil } }

  private func highWatermark() -> Change? {
    hasSentPages = false
    guard case .following = place, let current = log.offsets?.highWatermark, current != sentHighWatermark else { return nil }
    sentHighWatermark = current
    return .highWatermark(current)
  }

  private func currentCapture() throws(StorageError) -> SegmentCapture? {
    if let capture { return capture }
    let arrived = monitor.withLock {
      defer { if case .awaited = arrival {} else { arrival = nil } }
      return arrival
    }
    switch arrived {
    case .capture(let capture):
      self.capture = capture
      let isOtherFile = generation.map { $0 != capture.file.name.generation } ?? false
      // A file that was rebuilt has nothing in common with the old one but its records.
      if isOtherFile { place = .unknown(nil) }
      generation = capture.file.name.generation
      return capture
    case .failure(let error): throw error
    case .awaited, .unwanted: return nil
    case nil:
      askForCapture()
      return nil
    }
  }

  /// - Parameter capture: of a segment that is to have a successor.
  private func askForCapture(rolling capture: SegmentCapture? = nil) {
    monitor.withLock { arrival = .awaited }
    let standing = place.standing
    let log = log
    log.store.lane(of: log).submit { [weak self, id, notify, follower, presence, identity] lane in
      guard let self else { return }
      do throws(StorageError) {
        let writer = try lane.writer(of: log)
        if let capture { try writer.roll(behind: capture) }
        let capture = try writer.capture(for: standing)
        capture.join(id, notify: notify)
        if !presence.isCounted {
          presence.isCounted = true
          writer.noteJoined(follower, identity)
        } else if writer.newestFeeds[follower] == nil {
          writer.newestFeeds[follower] = identity
        }
        give(.capture(capture))
      } catch { give(.failure(error)) }
    } orElse: { [weak self] in
      self?.give(.failure(.closed))
    }
  }

  private func give(_ arrival: Arrival) {
    let isWanted = monitor.withLock {
      if case .unwanted = self.arrival { return false }
      self.arrival = arrival
      return true
    }
    if !isWanted, case .capture(let capture) = arrival { return capture.leave(id) }
    notify()
  }

  private func leave() {
    capture?.leave(id)
    capture = nil
  }

  // What the follower says

  /// The answer to `wantsPageHashes`; the next pages are those that differ. One that was not asked for, or for another segment, is passed
  /// over.
  ///
  /// - Parameter hashes: of all pages that it has, in their order, as `PageSums` makes them; none where it rather gets everything.
  public func pageHashes(segmentBase: Int64, _ hashes: [UInt64]) {
    guard case .asked(let standing) = place, capture?.segmentBase == segmentBase else { return }
    place = .answered(standing, hashes: hashes)
    notify()
  }

  /// Everything up to `position` is durable at the follower. What is no commit that it was sent, or had in common with the leader when it
  /// began, is passed over: it says so of its own history before that is repaired. Any thread, does not block.
  ///
  /// - Parameter isComplete: all sealed segments are there too (`FollowerPartition.isComplete`): otherwise it is not in sync, whatever it has of the
  ///   active one.
  public func acknowledged(_ position: CommitPosition, isComplete: Bool = true) {
    monitor.lock()
    let (known, fenceCount) = (self.known, self.fenceCount)
    monitor.unlock()
    guard let known, let fenceCount else { return }
    let isSent =
      position.leaderEpoch == known.to.leaderEpoch && position.commitSequence > known.from.commitSequence
      && position.commitSequence <= known.to.commitSequence
    guard isSent || position == known.from else { return }
    log.store.lane(of: log).submit(
      FollowerWord(
        log: log, follower: follower, feed: identity, fenceCount: fenceCount, durable: position.commitSequence,
        isComplete: isComplete))
  }

  // Files

  /// A piece of a sealed segment's file; its hash is in the active segment.
  ///
  /// - Parameter take: gets its bytes, once; not called behind the end.
  /// - Returns: bytes of the whole file.
  /// - Throws: `.refused(.offsetOutOfRange)` where there is no such file (any more), `.refused(.replicaNotAvailable)` where it is not sealed yet.
  public func readFile(
    base: Int64, generation: Int64, offset: Int64, maxBytes: Int, _ take: (UnsafeRawBufferPointer) -> Void
  ) throws(StorageError) -> Int64 {
    if isClosed { throw .closed }
    let name = SegmentName(baseOffset: base, generation: generation)
    if open?.name != name {
      open = nil
      open = (name, try SealedFile(name, of: log))
    }
    do throws(StorageError) { return try open!.file.read(at: offset, maxBytes: maxBytes, take) } catch {
      open = nil
      throw error
    }
  }

  /// The same as an array.
  public func readFile(
    base: Int64, generation: Int64, offset: Int64, maxBytes: Int
  ) throws(StorageError) -> (bytes: [UInt8], total: Int64) {
    var bytes: [UInt8] = []
    let total = try readFile(base: base, generation: generation, offset: offset, maxBytes: maxBytes) { bytes += $0 }
    return (bytes, total)
  }

  /// Lets go of everything. What is captured waits for this follower no more.
  public func close() {
    if isClosed { return }
    isClosed = true
    let arrived = monitor.withLock {
      defer { arrival = .unwanted }
      return arrival
    }
    if case .capture(let capture) = arrived { capture.leave(id) }
    leave()
    open = nil
    log.store.lane(of: log).submit { [log, follower, presence, identity] lane in
      // Behind the job that counted it.
      if presence.isCounted { lane.loadedWriter(of: log)?.noteLeft(follower, identity) }
    } orElse: {
    }
  }
}
