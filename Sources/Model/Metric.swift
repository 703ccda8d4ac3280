/// One family of metrics that a node serves: what Prometheus and METRICS.md say of it.
///
/// The rooms make their metrics by name; a suite compares this table with what a node really serves.
public struct Metric: Sendable {
  public enum Kind: String, Sendable {
    case counter, gauge, histogram
  }

  public var name: String
  public var kind: Kind
  /// Names of the labels; empty where there is one series.
  public var labels: [String]
  /// One sentence, with the unit.
  public var documentation: String

  private init(_ name: String, _ kind: Kind, labels: [String] = [], _ documentation: String) {
    self.name = name
    self.kind = kind
    self.labels = labels
    self.documentation = documentation
  }

  /// What is said of `name`; nil if no metric has it.
  public static func documentation(of name: String) -> String? { documentations[name] }

  private static let documentations = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0.documentation) })

  /// Every metric, by name.
  public static let all: [Metric] = (kafka + groups + storage + replication + http + node).sorted { $0.name < $1.name }

  private static let kafka = [
    Metric("quire_kafka_requests_total", .counter, labels: ["api"], "Kafka requests answered."),
    Metric(
      "quire_kafka_request_seconds", .histogram, labels: ["api"],
      "Seconds from a Kafka request's arrival to its answer, a fetch's waiting for records included."),
    Metric("quire_kafka_refused_requests_total", .counter, "Kafka requests whose connection was closed instead of an answer."),
    Metric("quire_kafka_received_bytes_total", .counter, "Bytes received on the Kafka port."),
    Metric("quire_kafka_sent_bytes_total", .counter, "Bytes sent on the Kafka port."),
    Metric("quire_kafka_connections", .gauge, "Open connections of Kafka clients."),
    Metric("quire_kafka_queued_request_bytes", .gauge, "Bytes of Kafka requests that have arrived and wait."),
    Metric(
      "quire_kafka_queued_request_bytes_max", .gauge,
      "Bytes of waiting Kafka requests past which nothing is read (queued.max.request.bytes)."),
  ]

  private static let groups = [
    Metric("quire_groups", .gauge, "Consumer groups in memory."),
    Metric("quire_group_rounds_total", .counter, "Rounds of the group coordinator: requests answered after one commit."),
    Metric("quire_group_commit_failures_total", .counter, "Rounds of the group coordinator that could not be made durable."),
  ]

  private static let storage = [
    Metric("quire_appended_bytes_total", .counter, "Bytes of record batches appended, as stored."),
    Metric("quire_appended_batches_total", .counter, "Record batches appended."),
    Metric("quire_group_commits_total", .counter, "Group commits: appends that became durable together."),
    Metric("quire_group_commit_bytes", .histogram, "Bytes of record batches in a group commit."),
    Metric("quire_group_commit_appends", .histogram, "Appends in a group commit."),
    Metric("quire_wal_syncs_total", .counter, "WAL files synced; a group commit syncs one for each partition it touches."),
    Metric("quire_sync_seconds", .histogram, "Seconds that the syncs of a group commit took, all its WALs together."),
    Metric("quire_wal_bytes", .histogram, "Bytes of a partition's WAL after a commit."),
    Metric("quire_wal_total_bytes", .gauge, "Bytes of the WALs of all segments that are open for writing."),
    Metric("quire_checkpoint_seconds", .histogram, "Seconds that a checkpoint of an active segment took."),
    Metric("quire_open_databases", .gauge, "Segment databases open, for writing or reading."),
    Metric(
      "quire_index_uncovered_records", .gauge,
      "Records of topics with indexes that no index file covers yet; questions scan them."),
    Metric("quire_index_records_total", .counter, "Records indexed; each once for every size of file it comes into."),
    Metric("quire_index_files_total", .counter, "Index files built."),
    Metric("quire_index_damaged_files_total", .counter, "Index files found damaged and built again."),
    Metric("quire_segments_rolled_total", .counter, "Segments closed because a new one began."),
    Metric("quire_segments_sealed_total", .counter, "Segments sealed: folded into one file that never changes again."),
    Metric("quire_segments_removed_total", .counter, "Segments removed by retention."),
    Metric("quire_fenced_partitions", .gauge, "Partitions that refuse writes since a sync failed."),
    Metric("quire_fenced_partitions_total", .counter, "Times that a partition was fenced."),
    Metric("quire_rebuilds_failed_total", .counter, "Attempts to rebuild a fenced partition that failed."),
    Metric("quire_damaged_reads_total", .counter, "Reads that met a damaged segment."),
    Metric("quire_scrubbed_bytes_total", .counter, "Bytes read in the background to find damage."),
    Metric("quire_damage_found_total", .counter, "Times the background found a file or a page that is not what was written."),
    Metric("quire_replica_page_sets_total", .counter, "Page sets of leaders applied to replicas here."),
    Metric(
      "quire_replica_page_set_bytes_total", .counter,
      "Bytes of the page sets of leaders applied to replicas here, as they travelled."),
    Metric(
      "quire_replica_heals_total", .counter,
      "Databases of replicas that differed from their leader's and were brought back, by their pages or as whole files."),
    Metric(
      "quire_acknowledged_records_dropped_total", .counter,
      "Acknowledged records that this node dropped because the cluster goes on with a leader that does not have them (an unclean election)."
    ),
    Metric(
      "quire_replica_resyncs_total", .counter,
      "Times a follower was sent the pages that it lacked, or all of them, instead of the next commits."),
    Metric("quire_producers_expired_total", .counter, "Idempotent producers forgotten because of their age or number."),
  ]

  private static let replication = [
    Metric("quire_under_replicated_partitions", .gauge, "Partitions with fewer replicas in sync, and there, than they have."),
    Metric("quire_offline_partitions", .gauge, "Partitions without a leader."),
    Metric(
      "quire_replica_lag_commits", .gauge,
      "Commits that the follower which is furthest behind lacks, of all partitions that this node leads or follows."),
    Metric("quire_replica_lag_bytes", .gauge, "Bytes of page sets that the follower which is furthest behind lacks."),
    Metric("quire_replica_lag_seconds", .gauge, "Seconds since when a follower lacks something; the longest one."),
    Metric("quire_peer_sent_bytes_total", .counter, "Bytes sent to other nodes' peer listeners and followers."),
    Metric("quire_peer_received_bytes_total", .counter, "Bytes received from them."),
    Metric("quire_peer_refused_total", .counter, "Connections to the peer listener that were refused."),
    Metric("quire_peer_disconnections_total", .counter, "Connections of followers that ended."),
    Metric("quire_replica_divergences_total", .counter, "Times a copy was found to differ from its leader's."),
    Metric("quire_replica_file_bytes_total", .counter, "Bytes of sealed segments fetched from leaders."),
  ]

  private static let http = [
    Metric("quire_http_requests_total", .counter, labels: ["route", "status"], "HTTP requests answered."),
    Metric(
      "quire_http_request_seconds", .histogram, labels: ["route"],
      "Seconds from an HTTP request's head to the last byte of its answer, as fast as its client takes it; following ends late."
    ),
  ]

  private static let node = [
    Metric("quire_topics", .gauge, "Topics."),
    Metric("quire_partitions", .gauge, "Partitions of all topics."),
    Metric("quire_build_info", .gauge, labels: ["version"], "Always 1; the version is a label."),
    Metric(
      "quire_metric_series_refused_total", .counter, "Series not kept because there are too many: a mistake in the program."),
    Metric("process_start_time_seconds", .gauge, "When the node became ready, in seconds since 1970."),
    Metric("process_resident_memory_bytes", .gauge, "Resident memory of the process, in bytes."),
    Metric("process_cpu_seconds_total", .counter, "Processor time the process has used, in seconds."),
  ]
}
