internal import Glibc
public import Logging
internal import Model
internal import SQLite
public import Storage
internal import Synchronization

/// Builds and keeps up the indexes of a node, on a thread of its own and of the least priority: newest records first, then history from
/// its end to its beginning. It waits for nobody's lock and syncs nothing.
public final class IndexBuilder: Sendable {
  /// How far it has come.
  public struct Levels: Sendable {
    /// Records of indexed topics that no index covers.
    public var uncoveredRecords: Int64 = 0
    /// Since it was made.
    public var indexedRecords: Int64 = 0
    public var builtFiles: Int64 = 0
    public var damagedFiles: Int64 = 0
  }

  private let store: LogStore
  private let files: IndexFiles
  private let feed: any IndexFeed
  private let logger: Logger
  private let isStopped = Atomic<Bool>(false)
  private let counted = Mutex(Levels())
  /// Safe because: the thread that builds is the only one that takes what is in it.
  private struct Work: @unchecked Sendable { var partitions: [TopicPartition: PartitionIndexing] = [:] }
  private let work = Mutex(Work())
  private let thread = Mutex<StorageThread?>(nil)

  private static let pauseMicroseconds: UInt32 = 100_000
  private static let pausesBetweenLooks = 3

  /// - Parameters:
  ///   - files: those that look-ups use.
  ///   - feed: computes what goes into an index.
  public init(_ store: LogStore, files: IndexFiles, feed: any IndexFeed, logger: Logger) {
    self.store = store
    self.files = files
    self.feed = feed
    self.logger = logger
  }

  public var levels: Levels { counted.withLock { $0 } }

  public func start() {
    thread.withLock { thread in
      thread = StorageThread("indexes", niceness: 19) { [unowned self] in
        while !isStopped.load(ordering: .relaxed) {
          if advance(now: monotonicNanoseconds() / 1_000_000) { continue }
          for _ in 0..<Self.pausesBetweenLooks where !isStopped.load(ordering: .relaxed) { usleep(Self.pauseMicroseconds) }
        }
      }
    }
  }

  /// Ends the thread; what it is at is thrown away.
  public func stop() {
    isStopped.store(true, ordering: .relaxed)
    let running = thread.withLock { thread in
      defer { thread = nil }
      return thread
    }
    running?.join()
  }

  /// Does one piece of work for each partition that has some.
  ///
  /// - Parameter now: milliseconds of a clock that never goes back.
  /// - Returns: whether there was any.
  func advance(now: Int64) -> Bool {
    work.withLock { work in
      var isBusy = false
      var uncovered: Int64 = 0
      let damaged = files.takeDamaged()
      if !damaged.isEmpty { counted.withLock { $0.damagedFiles += Int64(damaged.count) } }
      var found: Set<TopicPartition> = []
      let topics = store.partitionsByTopic.map { (definitions: Self.definitions(of: $0.value), logs: $0.value) }
      let partitionCount = topics.reduce(0) { $0 + ($1.definitions.isEmpty ? 0 : $1.logs.count) }
      for (definitions, logs) in topics {
        for log in logs {
          if isStopped.load(ordering: .relaxed) { return false }
          found.insert(log.topicPartition)
          let known = work.partitions[log.topicPartition]
          let indexing: PartitionIndexing
          if let known, known.topicID == log.topicID {
            indexing = known
          } else {
            known?.forget()
            indexing = PartitionIndexing(log, files, logger)
          }
          work.partitions[log.topicPartition] = indexing
          let result = indexing.advance(
            definitions, in: store, feed, partitions: partitionCount, damaged: damaged, now: now,
            shouldStop: { [self] in isStopped.load(ordering: .relaxed) || log.isDeleted })
          uncovered += indexing.uncovered
          guard let built = result else { continue }
          isBusy = true
          counted.withLock {
            $0.indexedRecords += built.records
            $0.builtFiles += built.files
          }
        }
      }
      for name in work.partitions.keys where !found.contains(name) {
        work.partitions.removeValue(forKey: name)?.forget()
      }
      counted.withLock { $0.uncoveredRecords = uncovered }
      return isBusy
    }
  }

  private static func definitions(of logs: [PartitionLog]) -> [IndexDefinition] {
    guard let text = logs.first?.configuration.columns, !text.isEmpty else { return [] }
    return ((try? DeclaredColumn.list(text)) ?? []).flatMap(\.indexes)
  }
}
