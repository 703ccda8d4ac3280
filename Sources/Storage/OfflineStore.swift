public import Coordination
public import Model
internal import SQLite

/// Reads a data directory without owning it: beside a running node, or when none runs. Writes nothing to any database.
public struct OfflineStore: Sendable {
  private let dataDirectory: String
  private let catalog: OfflineCatalog

  /// Reads what the node database says at this moment: which topics there are, and up to where they may be read.
  ///
  /// - Throws: a directory that is none of ours or of a newer Quire.
  public init(dataDirectory: String) throws(StorageError) {
    SQLiteLibrary.configure()
    self.dataDirectory = dataDirectory
    catalog = try OfflineCatalog(dataDirectory: dataDirectory)
  }

  /// The topics of the node database, by name.
  public var topics: [String] { Set(catalog.partitions.map(\.name.topic)).sorted() }

  /// The text of `quire.columns` of a topic; empty where nothing is declared.
  public func columns(of topic: String) -> String { catalog.columns[topic] ?? "" }

  /// The partitions of a topic that are elsewhere: its node is one of several. Nil where all are here, or nobody wrote down how many there are.
  public func absentPartitions(of topic: String) -> (numbers: [Int32], count: Int)? {
    guard let count = catalog.partitionCounts[topic], count <= Limits.partitionsPerTopicMax else { return nil }
    let here = Set(catalog.partitions.filter { $0.name.topic == topic }.map(\.name.partition))
    let absent = (0..<Int32(count)).filter { !here.contains($0) }
    return absent.isEmpty || here.isEmpty ? nil : (absent, count)
  }

  /// How many partitions a topic has, and about how many records there are in them; nil if there is no such topic.
  public func size(of topic: String) -> (partitions: Int, offsets: Int64)? {
    let partitions = catalog.partitions.filter { $0.name.topic == topic }
    if partitions.isEmpty { return nil }
    let offsets = partitions.reduce(Int64(0)) { total, partition in
      let known = catalog.checkpoint(of: partition)
      let count = known.map { $0.highWatermark.rawValue.subtractingReportingOverflow($0.logStartOffset.rawValue).partialValue }
      return total.addingReportingOverflow(max(0, count ?? 0)).partialValue
    }
    return (partitions.count, max(0, offsets))
  }

  /// The history of some topics (nil: of all), up to the high watermarks that were written down.
  public func snapshot(of topics: [String]?) throws(StorageError) -> HistorySnapshot {
    let wanted = topics.map { Set($0) }
    var histories: [PartitionHistory] = []
    for partition in catalog.partitions where wanted?.contains(partition.name.topic) ?? true {
      let (name, topicID) = partition
      do throws(StorageError) {
        let history = try Self.history(of: name, topicID, in: dataDirectory, catalog.checkpoint(of: partition))
        if let history { histories.append(history) }
      } catch {
        histories.append(PartitionHistory(unreadable: name, topicID: topicID, because: error))
      }
    }
    return HistorySnapshot(histories, bound: .checkpoint, pinned: [], logger: nil)
  }

  /// The idempotent producers that the partitions of `topic` (nil: of all) remember; a partition that cannot be read has none.
  public func producers(of topic: String?) -> [(TopicPartition, ProducerDescription)] {
    var found: [(TopicPartition, ProducerDescription)] = []
    for (name, topicID) in catalog.partitions where topic == nil || name.topic == topic {
      guard let partition = try? OfflinePartition.open("\(dataDirectory)/topics/\(name)"), partition.state.topicID == topicID
      else { continue }
      found += partition.state.producers.sorted { $0.key < $1.key }.map { (name, ProducerDescription($0.key, $0.value)) }
    }
    return found
  }

  /// The consumer groups and committed offsets as they are on disk.
  public func groups() throws(StorageError) -> [StoredGroup] {
    var groups: [StoredGroup] = []
    for path in try CoordinatorFiles.newest(in: dataDirectory) {
      let connection = try OfflineConnection.open(path, .coordinator, isImmutable: false)
      groups += try storage { () throws(SQLiteError) in try CoordinatorTables.load(connection) }
    }
    return groups.sorted { $0.groupID < $1.groupID }
  }

  private static func history(
    of name: TopicPartition, _ topicID: TopicID, in dataDirectory: String, _ checkpoint: LogOffsets?
  ) throws(StorageError) -> PartitionHistory? {
    let directory = "\(dataDirectory)/topics/\(name)"
    guard let found = try OfflinePartition.open(directory) else { return nil }
    guard found.state.topicID == topicID else { return nil }
    let start = found.state.logStartOffset
    let highWatermark = max(start, min(checkpoint?.highWatermark.rawValue ?? start, found.extent.endOffset))
    var references: [SegmentReference] = []
    for record in found.state.segments where record.endOffset > start && record.baseOffset < highWatermark {
      let name = SegmentName(baseOffset: record.baseOffset, generation: record.generation)
      var record = record
      if let seal = record.seal, case .unfolded = SealMatch("\(directory)/\(name.fileName)", seal) { record.seal = nil }
      let file = SegmentFile(
        directory: directory, name: name, phase: record.seal == nil ? .closing : .sealed, record: record)
      references.append(
        SegmentReference(
          path: file.path, baseOffset: Offset(record.baseOffset),
          endOffset: Offset(min(record.endOffset, highWatermark)), isSealed: record.seal != nil,
          minTimestamp: record.minTimestamp, maxTimestamp: record.maxTimestamp, batchBytes: record.batchBytes, file: file))
    }
    references.append(
      SegmentReference(
        path: found.path, baseOffset: Offset(found.state.baseOffset),
        endOffset: Offset(max(found.state.baseOffset, highWatermark)), isSealed: false,
        minTimestamp: found.extent.minTimestamp, maxTimestamp: found.extent.maxTimestamp, batchBytes: found.extent.batchBytes,
        file: SegmentFile(directory: directory, name: found.name, phase: .active, record: nil)))
    return PartitionHistory(
      topicPartition: name, topicID: topicID, logStartOffset: Offset(start), highWatermark: Offset(highWatermark),
      segments: references)
  }
}

/// What the node database of a directory says, read and let go of.
struct OfflineCatalog {
  typealias Partition = (name: TopicPartition, topicID: TopicID)

  var partitions: [Partition] = []
  var checkpoints: [NodeDatabase.PartitionKey: LogOffsets]
  /// The texts of `quire.columns`, by topic.
  var columns: [String: String] = [:]
  /// Of topics of which not every partition need be here.
  var partitionCounts: [String: Int] = [:]

  func checkpoint(of partition: Partition) -> LogOffsets? {
    checkpoints[NodeDatabase.PartitionKey(topicID: partition.topicID, partition: partition.name.partition)]
  }

  init(dataDirectory: String) throws(StorageError) {
    let path = dataDirectory + "/quire.db"
    guard FileSystem.exists(path) else { throw .system(call: "open", path: path, number: noSuchFile) }
    let connection = try OfflineConnection.open(path, .node, isImmutable: false)
    var partitions: [(TopicPartition, TopicID)] = []
    var columns: [String: String] = [:]
    var counts: [String: Int] = [:]
    checkpoints = try storage { () throws(SQLiteError) in
      let rows = try connection.prepare(
        "SELECT t.name, t.topic_id, p.partition FROM topic t JOIN partition p USING (topic_id) ORDER BY t.name, p.partition")
      while try rows.step() {
        guard let name = rows.text(at: 0), let id = TopicID(bytes: rows.blob(at: 1)) else { continue }
        partitions.append((TopicPartition(topic: name, partition: Int32(truncatingIfNeeded: rows.integer(at: 2))), id))
      }
      let settings = try connection.prepare(
        """
        SELECT resource_name, value, key FROM configuration
        WHERE resource_type = 'topic' AND key IN ('quire.columns', 'partitions')
        """)
      while try settings.step() {
        let topic = settings.text(at: 0) ?? ""
        if settings.text(at: 2) == "partitions" {
          counts[topic] = settings.text(at: 1).flatMap { Int($0) }
        } else {
          columns[topic] = settings.text(at: 1)
        }
      }
      return try NodeDatabase.checkpoints(connection)
    }
    self.columns = columns
    self.partitions = partitions
    partitionCounts = counts
  }
}

/// The newest segment of a partition's directory, and the state it holds.
struct OfflinePartition {
  var path: String
  var name: SegmentName
  var state: PartitionState
  var extent: ActiveExtent

  /// - Returns: nil if the directory holds no segment.
  static func open(_ directory: String) throws(StorageError) -> OfflinePartition? {
    var attempts = 0
    while true {
      guard let newest = try FileSystem.list(directory).compactMap({ SegmentName(fileName: $0) }).max() else { return nil }
      let path = "\(directory)/\(newest.fileName)"
      do throws(StorageError) {
        let connection = try OfflineConnection.openLog(path, isImmutable: false)
        guard let (state, extent) = try storage({ () throws(SQLiteError) in try SegmentSQL.load(connection) }) else {
          throw .damaged(
            StorageDamage(file: path, baseOffset: nil, offset: nil, reason: "the segment has no partition state"))
        }
        return OfflinePartition(path: path, name: newest, state: state, extent: extent)
      } catch {
        // A running node may have removed the file meanwhile.
        attempts += 1
        guard attempts < 3, !FileSystem.exists(path) else { throw error }
      }
    }
  }
}

enum OfflineConnection {
  static func open(_ path: String, _ family: DatabaseFamily, isImmutable: Bool) throws(StorageError) -> Connection {
    let connection = try connect(path, isImmutable: isImmutable)
    do throws(MigrationError) { try Migrator.verify(family, of: connection) } catch { throw .migration(error) }
    return connection
  }

  /// A segment, or a shard of the coordinator.
  static func openLog(_ path: String, isImmutable: Bool) throws(StorageError) -> Connection {
    let connection = try connect(path, isImmutable: isImmutable)
    try LogSchema.verify(connection)
    return connection
  }

  private static func connect(_ path: String, isImmutable: Bool) throws(StorageError) -> Connection {
    try storage { () throws(SQLiteError) in
      let connection = try Connection(path: path, mode: isImmutable ? .immutable : .readOnly)
      connection.setBusyTimeout(milliseconds: 5_000)
      try connection.execute("PRAGMA mmap_size=0; PRAGMA query_only=1")
      return connection
    }
  }
}
