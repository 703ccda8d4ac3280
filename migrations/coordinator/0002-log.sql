-- A shard is a log of commits, replicated as a segment is: beside its own tables it has those of a segment (migrations/segment), with the same
-- columns, since a replica's position is read from the page that `partition_state` lies on. It never has records; offsets count its commits.

CREATE TABLE record_batch(
  base_offset INTEGER PRIMARY KEY,
  last_offset INTEGER NOT NULL,
  running_max_timestamp INTEGER NOT NULL,
  min_timestamp INTEGER NOT NULL,
  max_timestamp INTEGER NOT NULL,
  leader_epoch INTEGER NOT NULL,
  record_count INTEGER NOT NULL,
  byte_count INTEGER NOT NULL,
  data BLOB NOT NULL
) STRICT;
CREATE INDEX record_batch_time ON record_batch(running_max_timestamp, base_offset, min_timestamp, max_timestamp);

CREATE TABLE partition_state(
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  topic_id BLOB NOT NULL CHECK (length(topic_id) = 16),
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  base_offset INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  log_start_offset INTEGER NOT NULL,
  leader_epoch INTEGER NOT NULL,
  commit_sequence INTEGER NOT NULL,
  batch_bytes INTEGER NOT NULL,
  min_timestamp INTEGER NOT NULL,
  first_append_ms INTEGER
) STRICT;

CREATE TABLE producer_state(
  producer_id INTEGER PRIMARY KEY,
  producer_epoch INTEGER NOT NULL,
  last_append_ms INTEGER NOT NULL,
  batches BLOB NOT NULL
) STRICT;

CREATE TABLE leader_epoch(
  epoch INTEGER PRIMARY KEY,
  start_offset INTEGER NOT NULL
) STRICT;

CREATE TABLE segment(
  base_offset INTEGER PRIMARY KEY,
  end_offset INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  batch_bytes INTEGER NOT NULL,
  min_timestamp INTEGER NOT NULL,
  max_timestamp INTEGER NOT NULL,
  file_bytes INTEGER,
  file_hash BLOB
) STRICT;
