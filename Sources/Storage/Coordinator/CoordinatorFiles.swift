internal import Coordination
internal import Model
internal import SQLite

/// Where the shards of the coordinator lie: each in a directory of its own, as a partition does.
enum CoordinatorFiles {
  /// Bytes: a commit changes a few rows on two or three pages.
  static let pageSize = 4_096

  static func directory(in dataDirectory: String) -> String { "\(dataDirectory)/coordinator" }
  static func directory(of shard: Int, in dataDirectory: String) -> String { "\(directory(in: dataDirectory))/\(shard)" }

  /// Earlier releases kept a shard in one file.
  private static func earlierFile(of shard: Int, in dataDirectory: String) -> String {
    "\(directory(in: dataDirectory))/\(shard).db"
  }

  /// The number of a shard by its directory, or by the file of an earlier release.
  private static func shard(of name: String, ending: String) -> Int? {
    guard name.hasSuffix(ending), let number = Int(name.dropLast(ending.utf8.count)), "\(number)\(ending)" == name, number >= 0
    else { return nil }
    return number
  }

  /// The directories of shards that there are.
  static func shards(in dataDirectory: String) throws(StorageError) -> [Int] {
    try FileSystem.list(directory(in: dataDirectory)).compactMap { shard(of: $0, ending: "") }.sorted()
  }

  /// The databases that say what the shards hold.
  static func newest(in dataDirectory: String) throws(StorageError) -> [String] {
    let names = try FileSystem.list(directory(in: dataDirectory))
    var found: [Int: String] = [:]
    for shard in names.compactMap({ shard(of: $0, ending: "") }) {
      let directory = directory(of: shard, in: dataDirectory)
      let newest = try FileSystem.list(directory).compactMap { SegmentName(fileName: $0) }.max()
      if let newest { found[shard] = "\(directory)/\(newest.fileName)" }
    }
    // As long as it is there it has not been taken over for good.
    for shard in names.compactMap({ shard(of: $0, ending: ".db") }) { found[shard] = earlierFile(of: shard, in: dataDirectory) }
    return found.sorted { $0.key < $1.key }.map(\.value)
  }

  // What earlier releases left

  /// Takes over shards of the layout of one file each, whole or, after a crash, once more; durable on return.
  ///
  /// - Throws: the earlier file is still there, and counts.
  static func migrate(_ options: StoreOptions, now: Int64) throws(StorageError) {
    let parent = directory(in: options.dataDirectory)
    for shard in try FileSystem.list(parent).compactMap({ shard(of: $0, ending: ".db") }) {
      let earlier = earlierFile(of: shard, in: options.dataDirectory)
      let target = directory(of: shard, in: options.dataDirectory)
      try FileSystem.makeDirectory(target)
      guard try !isInUse(target) else {
        // An earlier Quire was started here since, and knew nothing of what there is now.
        throw .occupied(earlier, "was written by an earlier Quire after \(target) had taken its place")
      }
      try takeOver(earlier, shard, into: target, options, now: now)
      try SegmentBuilder.removeDatabase(earlier)
      try FileSystem.syncDirectory(parent)
    }
  }

  /// Whether a shard was led since it was made: then there is more in it than in what it was made of.
  private static func isInUse(_ directory: String) throws(StorageError) -> Bool {
    guard let known = try OfflinePartition.open(directory) else { return false }
    return !known.state.epochs.isEmpty
  }

  private static func takeOver(
    _ earlier: String, _ shard: Int, into directory: String, _ options: StoreOptions, now: Int64
  ) throws(StorageError) {
    let source = try storage { () throws(SQLiteError) in try Connection(path: earlier, mode: .readWrite) }
    do throws(MigrationError) { try Migrator.verify(.coordinator, of: source) } catch { throw .migration(error) }
    let groups = try storage { () throws(SQLiteError) in try CoordinatorTables.load(source) }
    source.close()
    var state = emptyState(of: shard, topicID: CoordinatorTopic.id)
    // What it holds from the beginning is its first commit.
    state.commitSequence = 1
    try SegmentBuilder.build(state, in: directory, pageSize: pageSize, now: now) { target throws(StorageError) in
      try storage { () throws(SQLiteError) in
        let statements = try CoordinatorStatements(target)
        for group in groups {
          var changes: [GroupChange] = group.snapshot.map { [.groupPut($0)] } ?? []
          changes += group.offsets.sorted { $0.key < $1.key }.map { .offsetCommitted($0.key, $0.value) }
          try statements.apply(changes, to: group.groupID)
        }
      }
    }
  }

  static func emptyState(of shard: Int, topicID: TopicID) -> PartitionState {
    PartitionState(
      topicID: topicID, topicPartition: CoordinatorTopic.partition(shard), baseOffset: 0, generation: 0, logStartOffset: 0,
      leaderEpoch: 0, commitSequence: 0)
  }
}
