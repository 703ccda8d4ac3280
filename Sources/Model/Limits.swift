/// The bounds of a node in one place, with their arithmetic: what clients may send and have, what is kept in memory and on disk.
/// Configurable ones are defaults here. A bound of one algorithm or of one command, which nobody else meets, stands beside it.
public enum Limits {
  // Wire
  /// Largest request frame in bytes (`socket.request.max.bytes`): Kafka's own default, 100 MiB.
  public static let requestBytesMax = 100 << 20
  /// Largest response to one fetch, bytes: what a client may ask for is capped here (`fetch.max.bytes`, 55 MiB as in Kafka).
  public static let fetchBytesMax = 55 << 20
  /// Bytes of a reply to a fetch that are read from the disk, beyond the first batch and what the client wants at least. It is in memory
  /// until the client has read it, and made faster while it fits the processor's caches.
  public static let coldFetchBytesMax = 4 << 20
  /// Open client connections (`max.connections`).
  public static let connectionsMax = 10_000
  /// Requests of one connection that are being worked on; further ones wait in the socket.
  public static let requestsInFlightPerConnectionMax = 256
  /// Bytes of requests of all connections that have arrived and wait, for their turn or the disk (`queued.max.request.bytes`): eight
  /// connections' share, or two of the largest requests on each of the loops of a machine with one processor. Each loop has its part.
  public static let queuedRequestBytesMax = 256 << 20
  /// Bytes of produce requests of one connection that wait for the disk; then its socket is not read.
  public static let produceBytesInFlightPerConnectionMax = 32 << 20

  /// Milliseconds for which a fetch session, when all slots are taken, is safe from others: Kafka's own two minutes.
  public static let fetchSessionEvictionMilliseconds: Int64 = 120_000

  // Storage
  /// Bytes of record batches in one group commit. An uncapped group once grew to 1 GB and its checkpoint took 4 s.
  public static let groupCommitBytesMax = 2 << 20
  /// Bytes of a WAL at which its lane checkpoints it: the longest stall is 10-14 ms at 4 MiB, 30 at 16 MiB, 100 at 64.
  public static let checkpointBytes = 4 << 20
  /// Bytes of a WAL that readers keep from restarting at which the segment is rolled.
  public static let walBytesMax = 64 << 20
  /// Largest segment file: below 1 GiB, where SQLite's lock page would lie.
  public static let segmentFileBytesMax = 1000 << 20
  /// Largest record batch that is read from a segment: SQLite's own bound of a value. Not that of a request, which is configured, as is
  /// `max.message.bytes`: what was acknowledged must be readable under any setting.
  public static let storedBatchBytesMax = 1_000_000_000
  /// Databases open at once on a node (LRU): each costs up to four descriptors.
  public static let openDatabasesMax = 256
  /// Bytes of recent batches kept in memory for fetches at the end of a partition, and in all partitions together.
  public static let logTailBytesPerPartitionMax = 4 << 20
  public static let logTailBytesMax = 64 << 20
  /// Bytes read from the disk before consumers ask for them, over all partitions: 32 pieces of what a consumer asks for by default.
  public static let readAheadBytesMax = 32 << 20
  /// Bytes one record batch may decompress to. A batch of 1 MiB that gzip shrank 1000 times has 1 GiB; past this it is refused.
  public static let decompressedBatchBytesMax = 1 << 30
  /// Batches remembered for each idempotent producer in a partition (as Kafka: the client has at most five in flight).
  public static let producerBatchesRemembered = 5
  /// Idempotent producers remembered in one partition, at some 250 bytes in memory each, all of which a roll copies. Kafka has no bound
  /// but time (`producer.id.expiration.ms`); here the tenth that appended longest ago is forgotten as well when there are more.
  public static let producersPerPartitionMax = 10_000

  // Cluster
  /// Partitions of one topic: each costs a file and two syncs to create, several side by side.
  public static let partitionsPerTopicMax = 10_000
  /// Partitions that one CreateTopics request creates, as in Kafka, or one Metadata request that names topics that do not exist.
  public static let partitionsPerRequestMax = 10_000

  // Replication
  /// Bytes of the entries of one page set: every page of the largest segment file, as a full state has them.
  public static let pageSetBytesMax = segmentFileBytesMax + (8 << 20)
  /// Bytes of page sets of one partition that its followers have still to take: who falls further behind gets pages by their hashes.
  public static let replicaWaitingBytesMax = 16 << 20
  /// The same of all partitions together.
  public static let replicaWaitingBytesTotalMax = 128 << 20
  /// Bytes of pages that one set brings to a follower that cannot go on commit by commit: they are in memory on both sides at once.
  public static let replicaResyncBytesMax = 64 << 20

  // HTTP
  /// Bytes of the body of one request: as much as a statement may have (`querySQLBytes`).
  public static let httpBodyBytesMax = 1 << 20
  /// Bytes of batches that a mirror brings in one request: what a fetch brings of a partition (4 MiB), or one batch that is larger.
  public static let mirrorBodyBytesMax = 32 << 20
  /// Bytes that these may decompress to, all together: some seconds of a read thread.
  public static let mirrorDecompressedBytesMax = 4 << 30
  /// Such requests at once, which bounds their memory; one partition brings one at a time.
  public static let mirrorRequestsMax = 8
  /// Bytes of an answer that wait for its client; then the statement waits.
  public static let httpQueuedBytesMax = 1 << 20
  /// Series of metrics kept: a node has some hundred.
  public static let metricSeriesMax = 5_000

  // Groups
  public static let committedOffsetMetadataBytesMax = 4096
  /// Member ids of one group given out and not used yet; each costs about 200 bytes until its session timeout is over.
  public static let groupPendingMembersMax = 10_000
  /// Events that wait for the group coordinator's thread: a connection has one at a time, so several times the connections.
  public static let coordinatorQueueMax = 65_536
  /// For how long a change of groups waits for replicas, milliseconds: Kafka's `offsets.commit.timeout.ms`.
  public static let coordinatorCommitMilliseconds: Int64 = 5_000
  /// Shards of the coordinator's state; a group lives in `hash(group id) mod` this.
  public static let coordinatorShardCount = 4
}
