internal import Logging
internal import Model
internal import Synchronization

/// Writes the partitions' offsets into the node database every little while, keeps the disk reserve, and lets go of what was read
/// ahead for nobody.
///
// Safe because: everything that changes is guarded by `monitor`.
final class StoreMaintenance: @unchecked Sendable {
  private let monitor = Monitor()
  private let store: StoreShared
  private let node: NodeDatabase
  private var logs: [NodeDatabase.PartitionKey: PartitionLog] = [:]
  private var removed: [NodeDatabase.PartitionKey] = []
  private var written: [NodeDatabase.PartitionKey: LogOffsets]
  private var isStopping = false
  private var thread: StorageThread?

  init(_ store: StoreShared, node: NodeDatabase, written: [NodeDatabase.PartitionKey: LogOffsets]) {
    self.store = store
    self.node = node
    self.written = written
    thread = StorageThread("maintenance") { [unowned self] in self.run() }
  }

  func watch(_ log: PartitionLog) {
    monitor.lock()
    logs[log.key] = log
    monitor.unlock()
  }

  /// In the order of their names.
  var all: [PartitionLog] {
    monitor.withLock { Array(logs.values) }.sorted { $0.topicPartition < $1.topicPartition }
  }

  func forget(_ key: NodeDatabase.PartitionKey) {
    monitor.lock()
    logs[key] = nil
    removed.append(key)
    monitor.unlock()
  }

  func stop() {
    monitor.lock()
    isStopping = true
    monitor.signal()
    monitor.unlock()
    thread?.join()
  }

  private func run() {
    let interval = store.options.highWatermarkCheckpointMilliseconds * 1_000_000
    store.reserve.hold()
    var due = monotonicNanoseconds() + interval
    while true {
      monitor.lock()
      while !isStopping, monotonicNanoseconds() < due { monitor.wait(until: due) }
      let isStopping = isStopping
      monitor.unlock()
      if isStopping { return }
      do throws(StorageError) { try writeCheckpoints(isClean: false) } catch {
        store.logger.warning("high watermarks could not be written", metadata: ["error": "\(error)"])
      }
      store.reserve.hold()
      store.readAhead.dropStale()
      store.tendFollowers()
      store.tickReplicas()
      due = monotonicNanoseconds() + interval
    }
  }

  /// Writes the offsets that changed since the last time.
  func writeCheckpoints(isClean: Bool) throws(StorageError) {
    monitor.lock()
    let (logs, removed, written) = (logs, removed, written)
    monitor.unlock()
    var changed: [NodeDatabase.PartitionKey: LogOffsets] = [:]
    for (key, log) in logs {
      if var offsets = log.offsets {
        offsets.leaderEpoch = .zero
        if written[key] != offsets { changed[key] = offsets }
      }
    }
    guard isClean || !changed.isEmpty || !removed.isEmpty else { return }
    try node.writeCheckpoints(changed, removed: removed, isClean: isClean)
    monitor.lock()
    self.written.merge(changed) { $1 }
    for key in removed { self.written[key] = nil }
    self.removed.removeFirst(removed.count)
    monitor.unlock()
  }
}

extension PartitionLog {
  var key: NodeDatabase.PartitionKey { NodeDatabase.PartitionKey(topicID: topicID, partition: topicPartition.partition) }
}
