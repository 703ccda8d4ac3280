internal import Dispatch
internal import Query
internal import Synchronization

/// Threads that may read ahead for an export.
public struct ExportHelpers: Sendable {
  /// How many stretches are read at the same time beside the one that is delivered.
  public var count: Int
  /// Runs work on one of them, sooner or later. Whoever exports does not wait for it to begin.
  public var run: @Sendable (@escaping @Sendable () -> Void) -> Void

  public init(count: Int, run: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void) {
    self.count = count
    self.run = run
  }
}

/// The records of an export, cut into stretches of offsets, which are delivered in order.
///
/// Helpers read those that come next into memory while one is delivered. Whatever no helper has begun when its turn comes, whoever
/// delivers reads himself: nothing ever waits for a thread that is busy with other people's work, and helpers never wait at all: what
/// does not fit into memory they leave for him.
final class Stretches {
  /// Bytes that a stretch is to have, about, and at most (and one record).
  private static let bytesWanted = 2 << 20
  private static let bytesMax = 4 << 20
  private static let offsetsFirst: Int64 = 4096
  private static let offsetsMax: Int64 = 1 << 20

  private let export: HistoryExport
  private let control: ScanControl
  private let helpers: ExportHelpers?
  private let helping: Helping
  private var lenders: [Int: WalkLender] = [:]
  /// Where the next stretch begins.
  private var number = 0
  private var next: Int64?
  private var offsetsOfStretch = Stretches.offsetsFirst
  private var queue: [Stretch] = []

  init(of export: HistoryExport, control: ScanControl, helpers: ExportHelpers?) {
    self.export = export
    self.control = control
    self.helpers = helpers.flatMap { $0.count > 0 ? $0 : nil }
    helping = Helping(control)
  }

  /// What helpers are told.
  private final class Helping: Sendable {
    let control: ScanControl
    /// Work that has not begun.
    let waiting = Atomic<Int>(0)

    init(_ parent: ScanControl) { control = ScanControl { parent.isCancelled || parent.isLate } }
  }

  /// Walks of one part, each lent to one thread at a time.
  private final class WalkLender: @unchecked Sendable {
    // Safe because: `idle` is only touched under its lock, and who takes a walk out of it has it alone.
    private let lock = Mutex<Void>(())
    private var idle: [PartWalk] = []
    private let make: () -> PartWalk

    init(_ make: @escaping () -> PartWalk) { self.make = make }

    func lend<Result>(_ body: (PartWalk) throws(ExportError) -> Result) throws(ExportError) -> Result {
      let walk = lock.withLock { _ in idle.popLast() } ?? make()
      let result = try body(walk)
      lock.withLock { _ in idle.append(walk) }
      return result
    }
  }

  private final class Stretch: @unchecked Sendable {
    // Safe because: who claims it has `read` alone, until `isDone` is signalled.
    let number: Int
    let selection: BatchSelection
    let isDone = DispatchSemaphore(value: 0)
    /// Nil where it could not be read.
    var read: (RecordBuffer, rest: Int64?)?
    private let isClaimed = Atomic<Bool>(false)

    init(_ number: Int, _ selection: BatchSelection) {
      self.number = number
      self.selection = selection
    }

    /// - Returns: whether it is the caller's to read; somebody else's otherwise.
    func claim() -> Bool { !isClaimed.exchange(true, ordering: .acquiringAndReleasing) }
  }

  /// Hands the records of a part to `sink`.
  func deliver(_ number: Int, to sink: any RecordSink) throws(ExportError) {
    fill()
    while let stretch = queue.first, stretch.number == number {
      queue.removeFirst()
      fill()
      try deliver(stretch, to: sink)
    }
    lenders[number] = nil
  }

  private func deliver(_ stretch: Stretch, to sink: any RecordSink) throws(ExportError) {
    do throws(HistoryError) { try control.check() } catch { throw ExportError(error) }
    let lender = lender(stretch.number)
    if stretch.claim() {
      return try lender.lend { (walk) throws(ExportError) in try walk.run(stretch.selection, into: sink) }
    }
    wait(for: stretch)
    guard let (buffer, rest) = stretch.read else {
      // What went wrong does so once more where it belongs: behind the records in front of it.
      do throws(HistoryError) { try control.check() } catch { throw ExportError(error) }
      return try lender.lend { (walk) throws(ExportError) in try walk.run(stretch.selection, into: sink) }
    }
    try buffer.forEachRecord { (record) throws(ExportError) in try sink.take(record) }
    adapt(to: stretch, buffer, rest)
    guard let rest else { return }
    var selection = stretch.selection
    selection.offsets = rest...selection.offsets.upperBound
    try lender.lend { (walk) throws(ExportError) in try walk.run(selection, into: sink) }
  }

  private func wait(for stretch: Stretch) {
    while stretch.isDone.wait(timeout: .now() + .milliseconds(20)) == .timedOut {
      if control.isCancelled { helping.control.cancel() }
    }
  }

  /// Makes stretches as long as what was just read lets expect.
  private func adapt(to stretch: Stretch, _ buffer: RecordBuffer, _ rest: Int64?) {
    let offsets = stretch.selection.offsets
    let count = (rest ?? offsets.upperBound &+ 1) - offsets.lowerBound
    guard export.condition == nil, count > 0 else { return }
    let wanted = Double(count) * Double(Self.bytesWanted) / Double(max(1, buffer.bytes.count))
    offsetsOfStretch = Int64(min(Double(Self.offsetsMax), max(1, wanted)))
  }

  private func lender(_ number: Int) -> WalkLender {
    if let known = lenders[number] { return known }
    let made = WalkLender { [export, control = helpers == nil ? control : helping.control] in
      PartWalk(export, number, control: control)
    }
    lenders[number] = made
    return made
  }

  /// Cuts stretches, and has helpers begin with those that are not the next to be delivered.
  private func fill() {
    let count = 1 + 2 * (helpers?.count ?? 0)
    while queue.count < count, let stretch = cut() {
      queue.append(stretch)
      if queue.count > 1 { submit(stretch) }
    }
  }

  private func submit(_ stretch: Stretch) {
    guard let helpers, helping.waiting.load(ordering: .relaxed) < 2 * helpers.count else { return }
    helping.waiting.add(1, ordering: .relaxed)
    let lender = lender(stretch.number)
    helpers.run { [helping] in
      helping.waiting.subtract(1, ordering: .relaxed)
      guard stretch.claim() else { return }
      stretch.read = try? lender.lend { (walk) throws(ExportError) in
        try walk.collect(stretch.selection, bytesMax: Stretches.bytesMax)
      }
      stretch.isDone.signal()
    }
  }

  /// The next stretch; nil behind the last.
  private func cut() -> Stretch? {
    while number < export.work.count {
      guard var selection = export.work[number].selection, next ?? selection.offsets.lowerBound <= selection.offsets.upperBound
      else {
        number += 1
        next = nil
        continue
      }
      let first = next ?? selection.offsets.lowerBound
      var last = selection.offsets.upperBound
      // One statement finds all records of a part, with its indexes if it can.
      if helpers != nil, export.condition == nil { last = min(last, first.addingSaturating(offsetsOfStretch - 1)) }
      selection.offsets = first...last
      next = last.addingSaturating(1)
      return Stretch(number, selection)
    }
    return nil
  }

  /// Nobody reads any more when this returns.
  func end() {
    helping.control.cancel()
    for stretch in queue where !stretch.claim() { stretch.isDone.wait() }
    queue = []
  }
}

extension Int64 {
  fileprivate func addingSaturating(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
