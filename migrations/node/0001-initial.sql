-- quire.db: what one node knows besides its records.

CREATE TABLE identity(
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  cluster_id TEXT NOT NULL,
  node_id INTEGER NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT;

-- is_clean is 1 only between an orderly close and the next start.
CREATE TABLE node_state(
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  is_clean INTEGER NOT NULL,
  next_producer_id INTEGER NOT NULL
) STRICT;
INSERT INTO node_state VALUES (1, 1, 0);

-- Written every few seconds and at an orderly close: what readers of the files may see, and what need not be opened to be known.
CREATE TABLE partition_checkpoint(
  topic_id BLOB NOT NULL,
  partition INTEGER NOT NULL,
  log_start_offset INTEGER NOT NULL,
  high_watermark INTEGER NOT NULL,
  log_end_offset INTEGER NOT NULL,
  PRIMARY KEY (topic_id, partition)
) STRICT, WITHOUT ROWID;

-- The cluster image of a node that is alone.
CREATE TABLE topic(
  topic_id BLOB PRIMARY KEY NOT NULL,
  name TEXT UNIQUE NOT NULL,
  created_ms INTEGER
) STRICT;
CREATE TABLE partition(
  topic_id BLOB NOT NULL,
  partition INTEGER NOT NULL,
  leader_epoch INTEGER NOT NULL,
  PRIMARY KEY (topic_id, partition)
) STRICT;
CREATE TABLE configuration(
  resource_type TEXT NOT NULL,
  resource_name TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (resource_type, resource_name, key)
) STRICT;

-- Partitions whose files are being created or deleted: written before the first file is touched, gone with the change's last step.
-- Rows that a start finds are of changes that never happened (their files are removed) or of topics that are gone (likewise).
-- (The columns of a primary key come first in every WITHOUT ROWID table: SQLite 3.40.1's integrity_check sees NULLs otherwise.)
CREATE TABLE unfinished_partition(
  topic_id BLOB NOT NULL,
  partition INTEGER NOT NULL,
  topic TEXT NOT NULL,
  PRIMARY KEY (topic_id, partition)
) STRICT, WITHOUT ROWID;
