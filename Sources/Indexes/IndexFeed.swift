public import SQLite
public import Storage

/// Computes what goes into an index: the room above knows how.
public protocol IndexFeed: Sendable {
  /// Gives every record of a stretch to `writer`, batch by batch in offset order, as far as whole batches lie in it.
  ///
  /// - Parameters:
  ///   - snapshot: of one partition.
  ///   - shouldStop: asked now and then.
  func feed(
    _ snapshot: HistorySnapshot, _ offsets: Range<Int64>, into writer: IndexWriter, shouldStop: @escaping @Sendable () -> Bool
  ) throws(IndexFeedError)
}

/// Why a stretch was not indexed.
public enum IndexFeedError: Error, Sendable {
  case stopped
  /// The log cannot be read there, or an expression cannot be compiled.
  case refused(String)
  case writing(SQLiteError)
}
