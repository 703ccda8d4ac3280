/// Which time a record carries (`message.timestamp.type`).
public enum TimestampType: String, Sendable, CaseIterable {
  case createTime = "CreateTime"
  case logAppendTime = "LogAppendTime"
}

/// What a commit waits for before its appends are acknowledged (`quire.durability`).
public enum Durability: String, Sendable, CaseIterable {
  /// The WAL is on disk (`fdatasync`). The default.
  case fsync
  /// The WAL has been handed to the operating system: survives a crash of the node, not one of the machine.
  case os
}

/// What the broker stores for compressed batches (`compression.type`).
public enum CompressionPolicy: String, Sendable, CaseIterable {
  /// As the producer sent it.
  case producer
  case uncompressed, gzip, snappy, lz4, zstd
}

/// The topic configurations in force for one topic: its own settings over the node's defaults.
///
/// Built by `ConfigurationKey.resolve`; every field has a key in `ConfigurationKey.topicKeys`, and works.
public struct TopicConfiguration: Hashable, Sendable {
  /// Milliseconds a record is kept after its segment's largest timestamp; -1 for ever.
  public var retentionMilliseconds: Int64 = 7 * 24 * 3_600_000
  /// Bytes of batches kept in each partition; -1 without bound.
  public var retentionBytes: Int64 = -1
  /// Bytes of batches at which the active segment rolls.
  public var segmentBytes: Int64 = 256 << 20
  /// Milliseconds after its first append at which the active segment rolls.
  public var segmentMilliseconds: Int64 = 7 * 24 * 3_600_000
  /// Largest record batch accepted, in bytes, as stored.
  public var maxMessageBytes: Int32 = 1_048_588
  public var timestampType: TimestampType = .createTime
  /// How far a record's timestamp may lie behind the broker's clock, in milliseconds.
  public var timestampBeforeMaxMilliseconds: Int64 = .max
  /// How far a record's timestamp may lie ahead of the broker's clock, in milliseconds.
  public var timestampAfterMaxMilliseconds: Int64 = 3_600_000
  public var compression: CompressionPolicy = .producer
  public var minInSyncReplicas: Int32 = 1
  public var durability: Durability = .fsync
  /// Rather loses what was acknowledged than has no leader.
  public var allowsUncleanElection = false
  /// The text of `quire.columns`; `DeclaredColumn.list` reads it.
  public var columns = ""
  /// The topic this one is a mirror of, which alone it takes records from; empty if it is none.
  public var mirrorSource = ""

  public var isMirror: Bool { !mirrorSource.isEmpty }

  public init() {}
}
