import Model
import NIOCore
import Pages
import Synchronization

@testable import Shipping

/// The pages of a small database: what a leader has, and what a copy of it becomes.
struct FakePages: Equatable, Sendable {
  static let pageSize = PageSize(bytes: 512)!

  var bytes: [UInt8] = []
  var position = CommitPosition.zero

  var sums: PageSums {
    var sums = PageSums(pageSize: Self.pageSize)
    for page in 0..<pageCount { withPage(page) { sums.append($0) } }
    return sums
  }
  var pageCount: Int { bytes.count / Self.pageSize.bytes }
  var standing: FollowerStanding? {
    pageCount == 0 ? nil : FollowerStanding(position: position, sum: sums.total, pageCount: pageCount)
  }

  func withPage<R>(_ index: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R {
    bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[index * 512..<(index + 1) * 512])) }
  }

  /// The set that leads from a database with those sums to this one.
  func set(from before: PageSums, at position: CommitPosition, pages: [Int], resync: Bool) throws -> PageSet {
    var sums = before
    return try bytes.withUnsafeBytes { all in
      try sums.capture(
        pages: pages.map { (PageNumber(UInt32($0 + 1)), UnsafeRawBufferPointer(rebasing: all[$0 * 512..<($0 + 1) * 512])) },
        pageCount: pageCount, before: position, after: self.position, resync: resync
      ) { _, _ in false }.get()
    }
  }
}

/// A partition as a leader has it, with the page sets of all its commits.
final class FakeLog: Sendable {
  struct State {
    var pages = FakePages()
    /// The set that leads from each position on, by commit sequence.
    var sets: [Int64: PageSet] = [:]
    var highWatermark = Offset.zero
    var notifiers: [ObjectIdentifier: Notifier] = [:]
    var files: [Int64: [UInt8]] = [:]
    var acknowledged: CommitPosition?
    var isComplete = true
    var openCount = 0
    var pulledBytes = 0
    /// Streams end instead of going on.
    var isBroken = false
  }
  struct Notifier: Sendable {
    let call: @Sendable () -> Void
  }

  let state = Mutex(State())

  /// Puts some bytes into a page, which may be a new one behind the others.
  func commit(page: Int, filledWith byte: UInt8, count: Int = 1) throws {
    let notifiers = try state.withLock { state in
      let before = (state.pages.sums, state.pages.position)
      state.pages.bytes += [UInt8](repeating: 0, count: max(0, (page + count) * 512 - state.pages.bytes.count))
      for index in page * 512..<(page + count) * 512 { state.pages.bytes[index] = byte &+ UInt8(truncatingIfNeeded: index) }
      state.pages.position.commitSequence += 1
      state.sets[before.1.commitSequence] = try state.pages.set(
        from: before.0, at: before.1, pages: Array(min(page, before.0.pageCount)..<page + count), resync: false)
      state.highWatermark = Offset(state.pages.position.commitSequence)
      return Array(state.notifiers.values)
    }
    for notifier in notifiers { notifier.call() }
  }

  /// Page sets that nobody can stream any more.
  func forgetSets() { state.withLock { $0.sets = [:] } }

  func open(from standing: FollowerStanding?, notify: @escaping @Sendable () -> Void) -> FakeSource {
    let source = FakeSource(self, standing)
    state.withLock { state in
      state.openCount += 1
      state.notifiers[ObjectIdentifier(source)] = Notifier(call: notify)
    }
    return source
  }

  var pages: FakePages { state.withLock { $0.pages } }
}

/// A feed of one log.
final class FakeSource: ReplicaSource {
  private enum Next {
    case full, askHashes, waitForHashes
    case repair([UInt64])
    case stream
  }

  private let log: FakeLog
  private let next: Mutex<(next: Next, position: CommitPosition, highWatermark: Offset?)>

  init(_ log: FakeLog, _ standing: FollowerStanding?) {
    self.log = log
    let pages = log.pages
    let first: Next =
      if let standing {
        standing == pages.standing
          || log.state.withLock({ $0.sets[standing.position.commitSequence]?.header.sumBefore == standing.sum })
          ? .stream : .askHashes
      } else { .full }
    next = Mutex((first, standing?.position ?? .zero, nil))
  }

  var backlog: ReplicaLag {
    let end = log.pages.position.commitSequence
    return ReplicaLag(commits: next.withLock { max(0, end - $0.position.commitSequence) })
  }

  func next(maxBytes: Int) throws(PeerRefusal) -> ReplicaChange? {
    let change: Result<ReplicaChange?, any Error> = log.state.withLock { state in
      next.withLock { next in Result { try Self.next(&next, &state) } }
    }
    do { return try change.get() } catch { throw PeerRefusal(.storage, "\(error)") }
  }

  private static func next(
    _ next: inout (next: Next, position: CommitPosition, highWatermark: Offset?), _ state: inout FakeLog.State
  ) throws -> ReplicaChange? {
    if state.isBroken { throw PeerRefusal(.storage, "the log is broken") }
    func take(_ set: PageSet) -> ReplicaChange {
      next.position = set.header.after
      next.next = .stream
      state.pulledBytes += set.encodedByteCount
      return .pages(set)
    }
    let all = Array(0..<state.pages.pageCount)
    switch next.next {
    case .full:
      if all.isEmpty { return nil }
      return take(try state.pages.set(from: PageSums(pageSize: FakePages.pageSize), at: .zero, pages: all, resync: true))
    case .askHashes:
      next.next = .waitForHashes
      return .wantsPageHashes(segmentBase: 0)
    case .waitForHashes: return nil
    case .repair(let hashes):
      let theirs = PageSums(pageSize: FakePages.pageSize, hashes: hashes)
      let pages = state.pages.sums.differences(from: theirs).map { Int($0.rawValue) - 1 }.filter { $0 < all.count }
      return take(try state.pages.set(from: theirs, at: .zero, pages: pages, resync: true))
    case .stream:
      if let set = state.sets[next.position.commitSequence] { return take(set) }
      if next.position != state.pages.position {
        next.next = .waitForHashes
        return .wantsPageHashes(segmentBase: 0)
      }
      if next.highWatermark != state.highWatermark {
        next.highWatermark = state.highWatermark
        return .highWatermark(state.highWatermark)
      }
      return nil
    }
  }

  func pageHashes(segmentBase: Int64, _ hashes: [UInt64]) {
    next.withLock { next in
      if case .waitForHashes = next.next { next.next = .repair(hashes) }
    }
  }
  func acknowledged(_ position: CommitPosition, isComplete: Bool) {
    log.state.withLock { ($0.acknowledged, $0.isComplete) = (position, isComplete) }
  }

  func readFile(base: Int64, generation: Int64, offset: Int64, maxBytes: Int) throws(PeerRefusal) -> FileBytes {
    guard let file = log.state.withLock({ $0.files[base] }) else { throw PeerRefusal(.storage, "there is no such file") }
    let end = min(file.count, Int(offset) + maxBytes)
    return FileBytes(bytes: ByteBuffer(bytes: file[Int(offset)..<end]), totalBytes: Int64(file.count))
  }

  func close() {
    log.state.withLock { state in
      state.openCount -= 1
      state.notifiers[ObjectIdentifier(self)] = nil
    }
  }
}

/// A leader's partitions.
final class FakeLeader: ReplicaSources {
  let logs = Mutex<[TopicPartition: FakeLog]>([:])
  let fences = Mutex<[LeaderEpoch]>([])
  /// Who wanted to follow.
  let admitted = Mutex<[PeerIdentity]>([])
  /// Nobody is admitted, with these words.
  let refusal = Mutex<PeerRefusal?>(nil)

  func admit(_ follower: PeerIdentity) throws(PeerRefusal) {
    admitted.withLock { $0.append(follower) }
    if let refusal = refusal.withLock({ $0 }) { throw refusal }
  }

  func log(_ partition: TopicPartition) -> FakeLog {
    logs.withLock { logs in
      let log = logs[partition] ?? FakeLog()
      logs[partition] = log
      return log
    }
  }

  func openSource(
    of partition: TopicPartition, topicID: TopicID, follower: NodeID, from standing: FollowerStanding?,
    notify: @escaping @Sendable () -> Void
  ) throws(PeerRefusal) -> any ReplicaSource {
    guard let log = logs.withLock({ $0[partition] }) else { throw PeerRefusal(.unknownPartition, "there is no \(partition)") }
    return log.open(from: standing, notify: notify)
  }

  func fence(by peer: PeerIdentity) { fences.withLock { $0.append(peer.leaderEpoch) } }

  var openCount: Int { logs.withLock { Array($0.values) }.reduce(0) { $0 + $1.state.withLock { $0.openCount } } }
}

/// A copy of one partition.
final class FakeSink: ReplicaSink {
  struct State {
    var pages = FakePages()
    var sums = PageSums(pageSize: FakePages.pageSize)
    var applied = 0
    var divergences = 0
    var highWatermark = Offset.zero
    var wanted: [Int64] = []
    var files: [Int64: [UInt8]] = [:]
    var isClosed = false
    /// Waits in `apply`.
    var isHeld = false
    var wishesToBegin = false
  }
  struct Observer: Sendable {
    let call: @Sendable () -> Void
  }
  private let observer = Mutex<Observer?>(nil)

  let state: Mutex<State>

  init(_ pages: FakePages = FakePages()) {
    state = Mutex(State(pages: pages, sums: pages.sums))
  }

  var pages: FakePages { state.withLock { $0.pages } }
  var standing: FollowerStanding? { pages.standing }
  var wantedFiles: [WantedFile] {
    state.withLock { state in
      state.wanted.map { WantedFile(base: $0, generation: 0, have: Int64(state.files[$0]?.count ?? 0)) }
    }
  }

  var isComplete: Bool { state.withLock { $0.wanted.isEmpty } }
  func takeWishToBegin() -> Bool {
    state.withLock { state in
      defer { state.wishesToBegin = false }
      return state.wishesToBegin
    }
  }
  func setObserver(_ observer: @escaping @Sendable () -> Void) { self.observer.withLock { $0 = Observer(call: observer) } }

  /// What a scrub finds.
  func change(_ change: (inout State) -> Void) {
    state.withLock { change(&$0) }
    observer.withLock { $0 }?.call()
  }

  func hold(_ isHeld: Bool) { state.withLock { $0.isHeld = isHeld } }

  func apply(_ set: PageSet) throws(SinkError) {
    while state.withLock({ $0.isHeld }) { pause() }
    let refusal = state.withLock { state -> PagesError? in
      var bytes = state.pages.bytes
      bytes += [UInt8](repeating: 0, count: max(0, set.header.pageCountAfter * 512 - bytes.count))
      bytes.removeLast(bytes.count - set.header.pageCountAfter * 512)
      var position = state.pages.position
      let old = state.pages
      let refusal = state.sums.apply(set, at: &position) { number, room in
        old.withPage(Int(number.rawValue) - 1) { room.copyMemory(from: $0) }
      } write: { number, page in
        bytes.replaceSubrange(Int(number.rawValue - 1) * 512..<Int(number.rawValue) * 512, with: page)
      }
      if refusal == nil {
        state.pages = FakePages(bytes: bytes, position: position)
        state.applied += 1
      } else {
        state.divergences += 1
      }
      return refusal
    }
    if let refusal { throw .diverged("\(refusal)") }
  }

  func sync() -> CommitPosition? { standing?.position }
  func raiseHighWatermark(to offset: Offset) {
    state.withLock { $0.highWatermark = min(offset, Offset($0.pages.position.commitSequence)) }
  }
  func pageHashes(segmentBase: Int64) -> [UInt64] { state.withLock { $0.sums.hashes } }
  func writeFile(
    base: Int64, generation: Int64, offset: Int64, totalBytes: Int64, _ bytes: UnsafeRawBufferPointer
  ) throws(SinkError) {
    let isNext = state.withLock { state in
      guard state.files[base, default: []].count == Int(offset) else { return false }
      state.files[base, default: []] += bytes
      if state.files[base]?.count == Int(totalBytes) { state.wanted.removeAll { $0 == base } }
      return true
    }
    if !isNext { throw .failed("bytes that are not the next ones") }
  }
  func close() { state.withLock { $0.isClosed = true } }
}
