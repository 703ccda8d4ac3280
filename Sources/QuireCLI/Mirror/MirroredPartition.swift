internal import Model
internal import Records

/// One partition on its way: how far it has come, and why it does not go on.
struct MirroredPartition: Sendable {
  let partition: TopicPartition
  /// Added to the source's offsets.
  let shift: Int64
  /// Of the source: everything below is durable in the mirror, whose log ends at `position + shift`.
  private(set) var position: Int64
  /// Of the source: from `position` up to here it has let go of everything.
  var goneTo: Int64?
  /// Of the source: where what is being appended ends.
  var pendingEnd: Int64?
  /// The mirror's log has no records yet and begins with the first stretch, and starts here then.
  var logStart: Int64?
  /// Where the mirror ends has to be asked: nobody knows what became of the last request.
  var isUnsure = false
  /// Why it is not copied any more.
  var stopReason: String?

  /// Of the source, when it was last fetched.
  var sourceStart: Int64 = 0
  var sourceEnd: Int64 = 0
  /// `--once` ends here.
  var goal: Int64?

  /// Since when the source has had nothing behind `position`, though `goal` lies there.
  private var emptySince: ContinuousClock.Instant?

  var recordCount = 0
  var byteCount = 0
  var lostOffsets: Int64 = 0

  private var delay = Duration.zero
  private(set) var retryAt: ContinuousClock.Instant?

  private static let delayMax = Duration.seconds(10)
  /// Long enough for a new leader to learn what is committed.
  private static let emptyMax = Duration.seconds(5)

  init(_ partition: TopicPartition, shift: Int64, position: Int64) {
    self.partition = partition
    self.shift = shift
    self.position = position
  }

  /// Of the source: where the next fetch begins.
  var fetchOffset: Int64 { pendingEnd ?? max(position, goneTo ?? position) }
  var isStopped: Bool { stopReason != nil }
  var lag: Int64 { max(0, sourceEnd &- position) }
  var isDone: Bool { isStopped || (logStart == nil && goal.map { position >= $0 } ?? false) }

  /// The mirror's log is known to end here.
  mutating func align(to position: Int64) {
    self.position = position
    if let goneTo, goneTo <= position { self.goneTo = nil }
    isUnsure = false
  }

  /// The source has nothing committed behind `position`, or has again. Where that lasts, no more is to come than there is: the end it
  /// named is not where its log ends.
  mutating func note(isEmpty: Bool, _ now: ContinuousClock.Instant) {
    guard isEmpty else { return emptySince = nil }
    let since = emptySince ?? now
    emptySince = since
    if now - since >= Self.emptyMax { goal = position }
  }

  /// Waits longer each time.
  mutating func backOff(_ now: ContinuousClock.Instant) {
    delay = delay == .zero ? .milliseconds(100) : min(delay * 2, Self.delayMax)
    retryAt = now + delay
  }

  mutating func succeeded() {
    delay = .zero
    retryAt = nil
  }

  func isDue(_ now: ContinuousClock.Instant) -> Bool { !isStopped && retryAt.map { now >= $0 } ?? true }
  /// All that is wanted is there or on its way.
  var isNearlyDone: Bool { isDone || (goal.map { (pendingEnd ?? position) >= $0 && logStart == nil } ?? false) }
}
