public import Model

/// Bounds on one SQL statement; see `Limits` for what they are by default. Hitting one is an error, never a shorter answer.
public struct SQLLimits: Sendable, Hashable {
  /// Nil: without bound.
  public var time: Duration?
  /// Bytes of formatted rows; nil: without bound.
  public var outputBytes: Int?
  /// Bytes in temporary files.
  public var temporaryBytes: Int
  /// Bytes of page cache.
  public var cacheBytes: Int
  /// Bytes of one text or blob.
  public var valueBytes: Int
  /// Bytes that SQLite may allocate.
  public var memoryBytes: Int

  public init(
    time: Duration? = .seconds(Limits.querySeconds), outputBytes: Int? = Limits.queryOutputBytes,
    temporaryBytes: Int = Limits.queryTemporaryBytes, cacheBytes: Int = Limits.queryCacheBytes,
    valueBytes: Int = Limits.queryValueBytes, memoryBytes: Int = Limits.queryMemoryBytes
  ) {
    self.time = time
    self.outputBytes = outputBytes
    self.temporaryBytes = temporaryBytes
    self.cacheBytes = cacheBytes
    self.valueBytes = valueBytes
    self.memoryBytes = memoryBytes
  }
}
