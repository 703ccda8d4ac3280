import Glibc
import HistorySupport
import Logging
import Model
import Records
import Storage
import Synchronization
import Testing

@testable import Query

/// Counts appends that are done.
final class Arrivals: AppendReceiver {
  private let count = Mutex(0)
  func appendsCompleted(_ group: [AppendRequest]) { count.withLock { $0 += group.count } }
  func wait(for wanted: Int) { while count.withLock({ $0 }) < wanted { usleep(200) } }
}

/// A topic in a real store, many segments to a partition, and the same batches in memory.
final class StoredTopic {
  let store: LogStore
  /// The data directory.
  let directory: String
  var mirror = MemoryHistory()
  private var batches: [[MemoryHistory.Batch]] = [[], [], []]
  static let now: Int64 = 1_700_000_000_000

  init(_ directory: String, segmentBytes: Int64) throws {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    self.directory = directory + "/data"
    store = try LogStore.open(
      StoreOptions(dataDirectory: directory + "/data", nodeID: NodeID(1)), logger: logger, now: { Self.now })
    var configuration = TopicConfiguration()
    configuration.segmentBytes = segmentBytes
    configuration.timestampAfterMaxMilliseconds = .max
    for partition in 0..<3 {
      try store.createPartition(
        TopicPartition(topic: "plays", partition: Int32(partition)), topicID: TopicID(high: 1, low: 2),
        leaderEpoch: LeaderEpoch(0), configuration: configuration)
    }
  }

  func append(_ records: [TestRecord], to partition: Int, compression: Compression = .none) throws {
    let log = store.partition(TopicPartition(topic: "plays", partition: Int32(partition)))!
    let offset = (batches[partition].last?.row.lastOffset ?? -1) + 1
    let batch = try MemoryHistory.Batch(records, at: offset, compression: compression)
    let (bytes, summaries) = try BatchValidator.validate(
      try MemoryHistory.Batch(records, at: 0, compression: compression).bytes,
      rules: ValidationRules(configuration: log.configuration, now: Self.now))
    let arrivals = Arrivals()
    let request = AppendRequest(
      partition: log, records: bytes, batches: summaries, requiredAcks: -1, receiver: arrivals, context: nil)
    store.append([request])
    arrivals.wait(for: 1)
    guard case .appended(let base, _, _) = request.outcome else {
      Issue.record("append failed: \(request.outcome)")
      return
    }
    #expect(base.rawValue == offset)
    batches[partition].append(batch)
  }

  /// Both views of what has been appended.
  func views(logStart: [Int64] = [0, 0, 0]) throws -> (stored: SnapshotHistory, mirror: MemoryHistory) {
    var mirror = MemoryHistory()
    for partition in 0..<3 {
      mirror.add(
        PartitionExtent(
          topic: "plays", partition: Int32(partition), logStartOffset: logStart[partition],
          highWatermark: (batches[partition].last?.row.lastOffset ?? -1) + 1), batches[partition])
    }
    return (SnapshotHistory(try store.snapshot(of: nil)), mirror)
  }
}
