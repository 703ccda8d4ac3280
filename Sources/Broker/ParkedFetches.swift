internal import NIOCore
internal import Storage
internal import Synchronization

/// Fetches that wait for new records, by the partitions they wait for (long polling).
// Safe because: all but `count` lives on one event loop; `count` is atomic.
final class ParkedFetches: @unchecked Sendable {
  private var byPartition: [ObjectIdentifier: [ObjectIdentifier: FetchOperation]] = [:]
  private let count = Atomic<Int>(0)

  /// Asked by storage lanes, which need not hop to a loop where nobody waits.
  var isEmpty: Bool { count.load(ordering: .acquiring) == 0 }

  func park(_ fetch: FetchOperation, on partitions: [PartitionLog]) {
    count.add(1, ordering: .releasing)
    for partition in partitions { byPartition[ObjectIdentifier(partition), default: [:]][ObjectIdentifier(fetch)] = fetch }
  }

  func unpark(_ fetch: FetchOperation, from partitions: [PartitionLog]) {
    count.subtract(1, ordering: .releasing)
    for partition in partitions {
      let key = ObjectIdentifier(partition)
      byPartition[key]?[ObjectIdentifier(fetch)] = nil
      if byPartition[key]?.isEmpty == true { byPartition[key] = nil }
    }
  }

  /// New records lie below the high watermark of these partitions, or the partitions are gone.
  func wake(_ partitions: [PartitionLog]) {
    for partition in partitions {
      guard let fetches = byPartition[ObjectIdentifier(partition)]?.values else { continue }
      for fetch in Array(fetches) { fetch.wake() }
    }
  }

  /// Ends every wait, for draining.
  func wakeAll() {
    var all: [ObjectIdentifier: FetchOperation] = [:]
    for fetches in byPartition.values { all.merge(fetches) { first, _ in first } }
    for fetch in all.values { fetch.timeIsUp() }
  }
}
