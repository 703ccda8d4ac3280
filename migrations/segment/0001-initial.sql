-- A segment: one run of offsets of one partition, and in the active segment the whole state of that partition.

-- One row per record batch; `data` is the batch exactly as it travels. What is read without the blob stands in front of it.
-- running_max_timestamp never decreases within a segment: the first row with a value >= T is the batch that holds the
-- first record at or after T. min_timestamp and max_timestamp are those of the batch's own records. Milliseconds.
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
-- In offset order too, since running_max_timestamp never decreases; with the true bounds, so that a window of time is
-- narrowed down without a look at the table.
CREATE INDEX record_batch_time ON record_batch(running_max_timestamp, base_offset, min_timestamp, max_timestamp);

-- What this segment belongs to (verified when it is opened), the position of the last commit, and sums over record_batch
-- that would cost a scan: bytes of the batches, their least timestamp, and when the first was appended (by the node's clock).
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

-- Idempotent producers. `batches` holds up to five entries, oldest first, of 24 bytes, big-endian:
-- int32 base sequence, int32 last sequence, int64 base offset, int64 maximum timestamp.
CREATE TABLE producer_state(
  producer_id INTEGER PRIMARY KEY,
  producer_epoch INTEGER NOT NULL,
  last_append_ms INTEGER NOT NULL,
  batches BLOB NOT NULL
) STRICT;

-- Where each leader epoch began.
CREATE TABLE leader_epoch(
  epoch INTEGER PRIMARY KEY,
  start_offset INTEGER NOT NULL
) STRICT;

-- The older segments of the partition. file_hash (XXH64 of the file, 8 bytes big-endian) is set when the segment is sealed.
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
