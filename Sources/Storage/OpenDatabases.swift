internal import CoreMetrics
internal import Synchronization

/// Counts the segment databases that are open, and keeps them at or below the bound.
///
/// Three quarters of the bound are for the lanes' writers, which close their own least recently used one; the rest, and what
/// writers leave free, is for readers.
final class OpenDatabases: Sendable {
  private let count = Atomic<Int>(0)
  private let max: Int
  let writersPerLaneMax: Int
  private let metrics: StoreMetrics
  private let evictor = Mutex<Evictor?>(nil)

  /// A bare closure in a generic box is wrapped once more by each look at it.
  private struct Evictor {
    let evict: @Sendable () -> Bool
  }

  init(max: Int, laneCount: Int, metrics: StoreMetrics) {
    self.max = max
    self.metrics = metrics
    writersPerLaneMax = Swift.max(2, max * 3 / 4 / laneCount)
  }

  /// - Parameter evict: closes one idle reader; false if there is none.
  func setEvictor(_ evict: @escaping @Sendable () -> Bool) { evictor.withLock { $0 = Evictor(evict: evict) } }

  var current: Int { count.load(ordering: .relaxed) }

  func noteOpened() { count.add(1, ordering: .relaxed) }
  func noteDamagedRead() { metrics.damagedReads.increment() }
  func noteClosed() { count.subtract(1, ordering: .relaxed) }

  /// Counts a reader in, and closes idle ones while there are too many databases open.
  ///
  /// Readers that are in use can pass the bound by their own number: one for each read thread, and for each partition that a scan merges.
  func willOpenReader() {
    noteOpened()
    trim()
  }

  func willOpenWriter() {
    noteOpened()
    trim()
  }

  func trim() {
    guard current > max, let evictor = evictor.withLock({ $0 }) else { return }
    while current > max, evictor.evict() {}
  }
}
