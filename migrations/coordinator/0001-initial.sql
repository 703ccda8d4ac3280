-- One shard of the coordinator: the consumer groups whose id hashes to it, and the offsets they committed.

CREATE TABLE consumer_group(
  group_id TEXT PRIMARY KEY,
  protocol_type TEXT,
  protocol_name TEXT,
  generation_id INTEGER NOT NULL,
  leader_id TEXT,
  state_timestamp INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- join_order counts the members of a group from 0. `protocols` and `assignment` are as the members sent them: the first as
-- int32 count, then of each its name (int16 length, bytes) and its metadata (int32 length, bytes).
CREATE TABLE group_member(
  group_id TEXT NOT NULL,
  join_order INTEGER NOT NULL,
  member_id TEXT NOT NULL,
  group_instance_id TEXT,
  client_id TEXT NOT NULL,
  client_host TEXT NOT NULL,
  rebalance_timeout_ms INTEGER NOT NULL,
  session_timeout_ms INTEGER NOT NULL,
  protocols BLOB NOT NULL,
  assignment BLOB NOT NULL,
  PRIMARY KEY (group_id, join_order)
) STRICT, WITHOUT ROWID;

-- leader_epoch is -1 where the client named none; expire_timestamp is -1 where the retention of the broker holds.
CREATE TABLE committed_offset(
  group_id TEXT NOT NULL,
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  committed_offset INTEGER NOT NULL,
  leader_epoch INTEGER NOT NULL,
  metadata TEXT NOT NULL,
  commit_timestamp INTEGER NOT NULL,
  expire_timestamp INTEGER NOT NULL,
  PRIMARY KEY (group_id, topic, partition)
) STRICT, WITHOUT ROWID;
