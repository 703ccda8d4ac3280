public import Model
internal import SQLite

/// Reads one segment file by itself, wherever it lies. Writes nothing to it.
///
/// Within a data directory it is bounded as everything of that is: by the high watermark that the node wrote down last. Elsewhere, as
/// a copy of it, all of it is there to be read.
public struct OfflineSegment: Sendable {
  public let topicPartition: TopicPartition
  private let history: PartitionHistory

  /// Looks at the segment as it is at this moment.
  ///
  /// - Throws: a file that is no segment, or one of a newer Quire.
  public init(path: String) throws(StorageError) {
    guard FileSystem.exists(path) else { throw .system(call: "open", path: path, number: noSuchFile) }
    // Whoever writes it has a -wal beside it. Without one nothing has to be locked, or could be where nothing may be written.
    let isImmutable = !FileSystem.exists(path + "-wal")
    let connection = try OfflineConnection.open(path, .segment, isImmutable: isImmutable)
    guard let (state, extent) = try storage({ () throws(SQLiteError) in try SegmentSQL.load(connection) }) else {
      throw .damaged(StorageDamage(file: path, baseOffset: nil, offset: nil, reason: "the segment has no partition state"))
    }
    topicPartition = state.topicPartition
    let start = max(state.baseOffset, state.logStartOffset)
    let end = min(extent.endOffset, try Self.highWatermark(of: state, at: path) ?? .max)
    let file = SegmentFile(
      directory: FileSystem.parent(of: path), name: SegmentName(baseOffset: state.baseOffset, generation: state.generation),
      phase: isImmutable ? .sealed : .active, record: nil, path: path)
    history = PartitionHistory(
      topicPartition: state.topicPartition, topicID: state.topicID, logStartOffset: Offset(start),
      highWatermark: Offset(max(start, end)),
      segments: [
        SegmentReference(
          path: path, baseOffset: Offset(state.baseOffset), endOffset: Offset(max(state.baseOffset, end)),
          isSealed: isImmutable,
          minTimestamp: extent.minTimestamp, maxTimestamp: extent.maxTimestamp, batchBytes: extent.batchBytes, file: file)
      ])
  }

  public var offsetCount: Int64 { history.highWatermark.rawValue - history.logStartOffset.rawValue }

  public func snapshot() -> HistorySnapshot {
    HistorySnapshot([history], bound: .checkpoint, pinned: [], logger: nil)
  }

  /// Nil where the file is not that of a partition of the data directory around it.
  private static func highWatermark(of state: PartitionState, at path: String) throws(StorageError) -> Int64? {
    let partition = FileSystem.parent(of: path)
    let dataDirectory = FileSystem.parent(of: FileSystem.parent(of: partition))
    guard FileSystem.name(of: partition) == "\(state.topicPartition)", FileSystem.exists(dataDirectory + "/quire.db") else {
      return nil
    }
    return try OfflineCatalog(dataDirectory: dataDirectory).checkpoint(of: (state.topicPartition, state.topicID))?
      .highWatermark.rawValue
  }
}
