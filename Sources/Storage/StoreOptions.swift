public import Model

/// How a store is set up; the defaults are those of `Limits`.
public struct StoreOptions: Sendable {
  public var dataDirectory: String
  /// `node.id`, written into a new data directory.
  public var nodeID: NodeID
  /// A data directory that has another number keeps it: nobody said that it is `nodeID`.
  public var keepsNodeID = false
  /// A `quire.db` that is damaged is set aside and begun anew: what it had is known elsewhere, as in a cluster.
  public var replacesDamagedNodeDatabase = false
  /// Dedicated threads that write; a partition is pinned to one of them.
  public var laneCount = 1
  /// Threads beside each lane that share the syncs of a group with it.
  public var syncHelperCount = 2
  /// Threads for reads that miss the log tail, and look-ups.
  public var readThreadCount = 4
  /// Threads for SQL and export, at most; each statement holds one while it works.
  public var scanThreadCount = 16
  /// Databases open at once, writers and readers together.
  public var openDatabasesMax = Limits.openDatabasesMax
  /// Bytes of a page of new segments.
  public var pageSize = 8192
  /// KiB of pages each write connection may cache.
  public var writerCacheKiB = 2048
  /// KiB of pages each read connection may cache.
  public var readerCacheKiB = 512
  public var groupCommitBytesMax = Limits.groupCommitBytesMax
  public var checkpointBytes = Limits.checkpointBytes
  public var walBytesMax = Limits.walBytesMax
  public var segmentFileBytesMax = Limits.segmentFileBytesMax
  public var logTailBytesPerPartitionMax = Limits.logTailBytesPerPartitionMax
  public var logTailBytesMax = Limits.logTailBytesMax
  /// Bytes that may be read ahead for consumers, over all partitions.
  public var readAheadBytesMax = Limits.readAheadBytesMax
  /// Bytes kept back on the disk so that retention can commit when it is full.
  public var reserveBytes = 2 << 20
  /// Bytes of pages that one set brings to a follower that cannot go on commit by commit; where there are more, the segment rolls, and the
  /// follower copies it as a file.
  public var replicaResyncBytesMax = Limits.replicaResyncBytesMax
  /// Bytes of page sets of one segment that followers have still to take.
  public var replicaWaitingBytesMax = Limits.replicaWaitingBytesMax
  /// Bytes a second that are read again to compare them with what they should be; 0 for none.
  public var scrubBytesPerSecond = 8 << 20
  /// Milliseconds between two rounds of that.
  public var scrubPauseMilliseconds: Int64 = 60_000
  /// Milliseconds after which a follower that has not had everything leaves the in-sync set (`replica.lag.time.max.ms`).
  public var replicaLagMaxMilliseconds: Int64 = 30_000
  /// Milliseconds between checkpoints of the high watermarks in quire.db.
  public var highWatermarkCheckpointMilliseconds: Int64 = 1_000
  /// Idempotent producers a partition remembers.
  public var producersPerPartitionMax = Limits.producersPerPartitionMax
  /// Milliseconds after which an idempotent producer that appended nothing is forgotten (`producer.id.expiration.ms`).
  public var producerExpirationMilliseconds: Int64 = 86_400_000

  /// Acknowledges every append and writes none: for benchmarks only, which no configuration can ask for.
  package var discardsAppends = false

  public init(dataDirectory: String, nodeID: NodeID) {
    self.dataDirectory = dataDirectory
    self.nodeID = nodeID
  }
}
