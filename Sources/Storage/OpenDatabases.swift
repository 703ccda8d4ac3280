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
  private let evict = Mutex<(@Sendable () -> Bool)?>(nil)

  init(max: Int, laneCount: Int, metrics: StoreMetrics) {
    self.max = max
    self.metrics = metrics
    writersPerLaneMax = Swift.max(2, max * 3 / 4 / laneCount)
  }

  var evictReader: (@Sendable () -> Bool)? {
    get { evict.withLock { $0 } }
    set { evict.withLock { $0 = newValue } }
  }

  var current: Int { count.load(ordering: .relaxed) }

  func noteOpened() { metrics.openDatabases.record(count.add(1, ordering: .relaxed).newValue) }
  func noteClosed() { metrics.openDatabases.record(count.subtract(1, ordering: .relaxed).newValue) }

  /// Counts a reader in, and closes idle ones while there are too many databases open.
  ///
  /// Readers that are in use can pass the bound by their own number, which is that of the read threads and sessions.
  func willOpenReader() {
    noteOpened()
    trim()
  }

  func willOpenWriter() {
    noteOpened()
    trim()
  }

  func trim() {
    while current > max, let evict = evictReader, evict() {}
  }
}
