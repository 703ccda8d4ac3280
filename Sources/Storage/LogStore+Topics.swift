internal import Logging
public import Model
internal import Synchronization

// Partitions by the topic: a thousand of them one after the other would take seconds, nearly all of it waiting for the disk.

extension LogStore {
  /// Threads that create or remove partitions side by side; the disk's journal takes their syncs together.
  private static let concurrencyMax = 8

  /// Creates the files of partitions of one topic, durable on return, and registers them. Blocks.
  ///
  /// Directories of these names without any segment, or of this topic, are removed: a crash cut a creation short.
  ///
  /// - Throws: none of them is registered; files of some may be left, for `deletePartitions`. Also where a directory holds somebody
  ///   else's log: it is never touched.
  public func createPartitions(
    of topic: String, _ numbers: Range<Int32>, topicID: TopicID, leaderEpoch: LeaderEpoch, configuration: TopicConfiguration
  ) throws(StorageError) {
    if isClosed.withLock({ $0 }) { throw .closed }
    let names = numbers.map { TopicPartition(topic: topic, partition: $0) }
    let isTaken = partitions.withLock { known in names.contains { known[$0] != nil } }
    if isTaken { throw .refused(.topicAlreadyExists) }
    for name in names { try checkVacancy(of: directory(of: name), for: topicID) }
    try removeFiles(of: names)
    for name in names { try FileSystem.makeUnsyncedDirectory(directory(of: name)) }
    try FileSystem.syncDirectory(shared.topicsDirectory)
    try Self.concurrently(names) { [self] name throws(StorageError) in
      let state = PartitionState(
        topicID: topicID, topicPartition: name, baseOffset: 0, generation: 0, logStartOffset: 0,
        leaderEpoch: leaderEpoch.rawValue, commitSequence: 0)
      try SegmentBuilder.build(
        state, in: directory(of: name), pageSize: shared.options.pageSize, now: shared.now())
    }
    for name in names {
      try attachPartition(name, topicID: topicID, leaderEpoch: leaderEpoch, configuration: configuration)
    }
  }

  /// - Throws: the directory holds a log that is not this topic's.
  private func checkVacancy(of directory: String, for topicID: TopicID) throws(StorageError) {
    switch PartitionOwner(of: directory) {
    case .none, .nobody: break
    case .topic(let owner) where owner == topicID: break
    case .topic(let owner):
      throw .occupied(directory, "holds the log of another topic (id \(owner)) that quire.db does not know")
    case .unreadable(let error): throw .occupied(directory, "holds a log that cannot be read (\(error))")
    }
  }

  /// Removes partitions of one topic and their files: the directories are renamed, durably, before anything is unlinked. Blocks.
  ///
  /// What has the name and is another topic's stays, for instance after quire.db was restored from an older copy.
  ///
  /// - Throws: none of them is registered any more; files of some may be left, for another call.
  public func deletePartitions(_ names: [TopicPartition], topicID: TopicID) throws(StorageError) {
    var logs: [PartitionLog] = []
    var removable: [TopicPartition] = []
    var unknown: [TopicPartition] = []
    for name in names {
      let log = attached(name)
      if let log, log.topicID != topicID { continue }
      if let log { logs.append(log) }
      // Whose log it is was looked at when it was loaded.
      let isKnown = log?.shared.withLock { $0.isLoaded } ?? false
      if isKnown { removable.append(name) } else { unknown.append(name) }
    }
    removable += try ownDirectories(of: unknown, topicID)
    try unregister(logs)
    // Also those that this node had let go of before.
    forget(removable.map { NodeDatabase.PartitionKey(topicID: topicID, partition: $0.partition) })
    try removeFiles(of: removable)
  }

  /// Those of `names` whose directories do not hold the log of another topic. Each costs opening a database: several at once.
  private func ownDirectories(of names: [TopicPartition], _ topicID: TopicID) throws(StorageError) -> [TopicPartition] {
    let foreign = Mutex<Set<TopicPartition>>([])
    try Self.concurrently(names) { name throws(StorageError) in
      guard case .topic(let owner) = PartitionOwner(of: self.directory(of: name)), owner != topicID else { return }
      self.shared.logger.warning(
        "a directory is kept: it holds the log of another topic",
        metadata: ["partition": "\(name)", "topic id": "\(owner)", "deleted": "\(topicID)"])
      foreign.withLock { _ = $0.insert(name) }
    }
    let kept = foreign.withLock { $0 }
    return names.filter { !kept.contains($0) }
  }

  private func unregister(_ logs: [PartitionLog]) throws(StorageError) {
    for log in logs { shared.follower(of: log)?.end(syncs: false, keepsSums: false) }
    partitions.withLock { known in for log in logs { known[log.topicPartition] = nil } }
    let handovers = logs.map { log in
      let handover = Handover<Bool>()
      shared.lane(of: log).submit { lane in
        lane.delete(log)
        handover.give(true)
      } orElse: {
        handover.give(false)
      }
      return handover
    }
    let areGone = handovers.map { $0.take() }
    for log in logs { log.backgroundWork.end() }
    forget(logs.map(\.key))
    shared.highWatermarksMoved(of: logs)
    if areGone.contains(false) { throw .closed }
  }

  /// Nothing is known of them from now on, and at the next start.
  private func forget(_ keys: [NodeDatabase.PartitionKey]) {
    for key in keys { maintenance.forget(key) }
    remembered.withLock { remembered in
      for key in keys { (remembered.checkpoints[key], remembered.known[key]) = (nil, nil) }
    }
  }

  /// Creates one partition, as above.
  public func createPartition(
    _ name: TopicPartition, topicID: TopicID, leaderEpoch: LeaderEpoch, configuration: TopicConfiguration
  ) throws(StorageError) {
    try createPartitions(
      of: name.topic, name.partition..<name.partition + 1, topicID: topicID, leaderEpoch: leaderEpoch,
      configuration: configuration)
  }

  /// Removes one partition, as above.
  public func deletePartition(_ name: TopicPartition, topicID: TopicID) throws(StorageError) {
    try deletePartitions([name], topicID: topicID)
  }

  private func directory(of name: TopicPartition) -> String { shared.directory(of: name) }

  private func removeFiles(of names: [TopicPartition]) throws(StorageError) {
    var random = SystemRandomNumberGenerator()
    var graves: [String] = []
    for name in names where FileSystem.exists(directory(of: name)) {
      let grave = "\(shared.topicsDirectory)/\(Self.gravePrefix)\(String(random.next(), radix: 36))"
      try FileSystem.rename(directory(of: name), to: grave)
      graves.append(grave)
    }
    guard !graves.isEmpty else { return }
    try FileSystem.syncDirectory(shared.topicsDirectory)
    try Self.concurrently(graves) { grave throws(StorageError) in try FileSystem.removeDirectory(grave) }
  }

  /// Calls `work` for each of `items`, several at a time; all calls have returned when this does.
  ///
  /// - Throws: the first error; items that were not begun by then are left out.
  private static func concurrently<Item: Sendable>(
    _ items: [Item], _ work: @escaping @Sendable (Item) throws(StorageError) -> Void
  ) throws(StorageError) {
    let progress = Progress()
    @Sendable func takeTurns() {
      while let index = progress.next(below: items.count) {
        do throws(StorageError) { try work(items[index]) } catch { progress.fail(error) }
      }
    }
    let helpers = (1..<max(1, min(concurrencyMax, items.count))).map { StorageThread("topic-\($0)", takeTurns) }
    takeTurns()
    for helper in helpers { helper.join() }
    if let failure = progress.failure { throw failure }
  }

  private final class Progress: Sendable {
    private let state = Mutex<(next: Int, failure: StorageError?)>((0, nil))

    var failure: StorageError? { state.withLock { $0.failure } }

    func next(below end: Int) -> Int? {
      state.withLock { state in
        guard state.failure == nil, state.next < end else { return nil }
        defer { state.next += 1 }
        return state.next
      }
    }

    func fail(_ error: StorageError) { state.withLock { if $0.failure == nil { $0.failure = error } } }
  }
}
