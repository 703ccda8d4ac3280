internal import CoreMetrics

/// What Storage counts; the handles are made once. Levels, which several threads move, are looked up when asked for: `LogStore.levels`.
struct StoreMetrics: Sendable {
  let walSyncs = Counter(label: "quire_wal_syncs_total")
  let appendedBytes = Counter(label: "quire_appended_bytes_total")
  let appendedBatches = Counter(label: "quire_appended_batches_total")
  let groupCommits = Counter(label: "quire_group_commits_total")
  let groupCommitBytes = Recorder(label: "quire_group_commit_bytes")
  let groupCommitAppends = Recorder(label: "quire_group_commit_appends")
  let walBytes = Recorder(label: "quire_wal_bytes")
  let syncSeconds = Timer(label: "quire_sync_seconds")
  let checkpointSeconds = Timer(label: "quire_checkpoint_seconds")
  let partitionsFenced = Counter(label: "quire_fenced_partitions_total")
  let rebuildsFailed = Counter(label: "quire_rebuilds_failed_total")
  let segmentsRolled = Counter(label: "quire_segments_rolled_total")
  let segmentsSealed = Counter(label: "quire_segments_sealed_total")
  let segmentsRemoved = Counter(label: "quire_segments_removed_total")
  let damagedReads = Counter(label: "quire_damaged_reads_total")
  let replicaSets = Counter(label: "quire_replica_page_sets_total")
  let replicaBytes = Counter(label: "quire_replica_page_set_bytes_total")
  let scrubbedBytes = Counter(label: "quire_scrubbed_bytes_total")
  let damageFound = Counter(label: "quire_damage_found_total")
  let replicaHeals = Counter(label: "quire_replica_heals_total")
  let replicaResyncs = Counter(label: "quire_replica_resyncs_total")
  let acknowledgedRecordsDropped = Counter(label: "quire_acknowledged_records_dropped_total")
  let producersExpired = Counter(label: "quire_producers_expired_total")
}
