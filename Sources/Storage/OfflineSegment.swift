internal import Glibc
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
    let place = Self.absolute(path)
    let isImmutable = try Self.isImmutable(place)
    let connection = try OfflineConnection.open(path, .segment, isImmutable: isImmutable)
    guard let (state, extent) = try storage({ () throws(SQLiteError) in try SegmentSQL.load(connection) }) else {
      throw .damaged(StorageDamage(file: path, baseOffset: nil, offset: nil, reason: "the segment has no partition state"))
    }
    topicPartition = state.topicPartition
    let start = max(state.baseOffset, state.logStartOffset)
    let end = min(extent.endOffset, try Self.highWatermark(of: state, at: place) ?? .max)
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

  /// Whether nobody writes to the file while it is read: then nothing has to be locked, or could be where nothing may be written.
  ///
  /// A -wal beside it says that somebody does, but none does not say that nobody will: a node may start at any moment, and go on with the
  /// newest segment of a partition. The others have no -wal once they are sealed, and never get one again.
  private static func isImmutable(_ path: String) throws(StorageError) -> Bool {
    if FileSystem.exists(path + "-wal") { return false }
    let directory = FileSystem.parent(of: path)
    // A copy that lies elsewhere is nobody's, and SQLite cannot lock where nothing may be written.
    guard isInDataDirectory(directory), access(directory, W_OK) == 0 else { return true }
    guard let name = SegmentName(fileName: FileSystem.name(of: path)) else { return true }
    return try FileSystem.list(directory).contains { SegmentName(fileName: $0).map { $0 > name } ?? false }
  }

  private static func absolute(_ path: String) -> String {
    guard let resolved = realpath(path, nil) else { return path }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  private static func isInDataDirectory(_ partition: String) -> Bool {
    FileSystem.exists(FileSystem.parent(of: FileSystem.parent(of: partition)) + "/quire.db")
  }

  /// Nil where the file is not that of a partition of the data directory around it.
  private static func highWatermark(of state: PartitionState, at path: String) throws(StorageError) -> Int64? {
    let partition = FileSystem.parent(of: path)
    let dataDirectory = FileSystem.parent(of: FileSystem.parent(of: partition))
    guard FileSystem.name(of: partition) == "\(state.topicPartition)", isInDataDirectory(partition) else { return nil }
    return try OfflineCatalog(dataDirectory: dataDirectory).checkpoint(of: (state.topicPartition, state.topicID))?
      .highWatermark.rawValue
  }
}
