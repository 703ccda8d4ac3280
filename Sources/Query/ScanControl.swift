internal import Synchronization

/// Stops a scan from another thread, or when its time is over.
///
/// SQLite's own progress handler runs between its instructions only; a scan that passes over a million batches within one of them
/// asks here.
public final class ScanControl: Sendable {
  private let cancelled = Atomic<Bool>(false)
  /// Nanoseconds of the monotonic clock.
  private let deadline: Atomic<UInt64>
  /// What `restart` was given, nanoseconds; -1 for no bound.
  private let bound = Atomic<Int64>(-1)
  public let progress = QueryProgress()
  /// Asked now and then by whoever checks; true stops the scan, and nothing else than that scan.
  private let shouldStop: (@Sendable () -> Bool)?
  /// When it was asked last.
  private let lastAsked = Atomic<UInt64>(0)
  private static let askEveryNanoseconds: UInt64 = 50_000_000
  /// In a structure of its own, as bare closures in a generic box are wrapped once more by each look at them.
  private struct Waker { let call: @Sendable () -> Void }
  private let waker = Mutex<Waker?>(nil)

  /// Without a bound on time; `restart` sets one.
  public init() {
    deadline = Atomic(.max)
    shouldStop = nil
  }

  /// - Parameter shouldStop: asked some twenty times a second while a scan is under way, on the thread that scans.
  public init(shouldStop: @escaping @Sendable () -> Bool) {
    deadline = Atomic(.max)
    self.shouldStop = shouldStop
  }

  /// Begins to count the time anew. A cancellation stays.
  /// - Parameter time: from now on; nil is without bound.
  public func restart(time: Duration?) {
    bound.store(time?.nanoseconds ?? -1, ordering: .relaxed)
    let end = time.map { SteadyClock.nanoseconds.addingReportingOverflow(UInt64(clamping: $0.nanoseconds)) }
    deadline.store(end.map { $0.overflow ? .max : $0.partialValue } ?? .max, ordering: .relaxed)
  }

  /// Asks the scan to stop; it does so within a batch. Any thread.
  public func cancel() {
    cancelled.store(true, ordering: .relaxed)
    waker.withLock { $0 }?.call()
  }

  /// What `cancel` calls besides, on its thread: whoever waits and does not scan is to be woken. Nil for nobody.
  func onCancel(_ call: (@Sendable () -> Void)?) { waker.withLock { $0 = call.map(Waker.init) } }

  /// Gives the statement back a time in which it was kept waiting.
  public func extend(by time: Duration) {
    let end = deadline.load(ordering: .relaxed)
    if end == .max { return }
    let (later, overflow) = end.addingReportingOverflow(UInt64(clamping: time.nanoseconds))
    deadline.store(overflow ? .max : later, ordering: .relaxed)
  }

  /// The bound on time that was set last.
  var time: Duration? {
    let nanoseconds = bound.load(ordering: .relaxed)
    return nanoseconds < 0 ? nil : .nanoseconds(nanoseconds)
  }
  public var isCancelled: Bool { cancelled.load(ordering: .relaxed) }
  public var isLate: Bool { SteadyClock.nanoseconds >= deadline.load(ordering: .relaxed) }

  /// - Throws: `.cancelled` or `.tooSlow`.
  public func check() throws(HistoryError) {
    if isCancelled { throw HistoryError(.cancelled, "cancelled") }
    if isLate { throw HistoryError(.tooSlow, "the time for this query is over") }
    if let shouldStop, isTimeToAsk, shouldStop() { throw HistoryError(.cancelled, "interrupted") }
  }

  private var isTimeToAsk: Bool {
    let now = SteadyClock.nanoseconds
    guard now &- lastAsked.load(ordering: .relaxed) >= Self.askEveryNanoseconds else { return false }
    lastAsked.store(now, ordering: .relaxed)
    return true
  }
}

extension Duration {
  /// Saturating.
  var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? (seconds < 0 ? .min : .max) : product &+ attoseconds / 1_000_000_000
  }
}

/// What a query cost: tests assert on it, and people are told.
public struct ScanStatistics: Sendable, Hashable {
  /// Batches whose row was looked at and that overlapped what was asked.
  public var batchesMatched = 0
  /// Batches whose records were walked, decompressed where needed.
  public var batchesDecoded = 0
  /// Batches answered from their row or header alone.
  public var batchesFromHeader = 0
  public var recordsDecoded = 0
  /// Index files that were asked.
  public var indexLookups = 0
  /// Partitions whose batches were opened.
  public var partitionsOpened = 0

  public init() {}
}
