-- One shard of the coordinator: the consumer groups whose id hashes to it, and the offsets they committed.

CREATE TABLE consumer_group(
  group_id TEXT PRIMARY KEY,
  protocol_type TEXT,
  protocol_name TEXT,
  generation_id INTEGER NOT NULL,
  leader_id TEXT,
  state_timestamp INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `position` is the order in which the members joined.
CREATE TABLE group_member(
  group_id TEXT NOT NULL,
  position INTEGER NOT NULL,
  member_id TEXT NOT NULL,
  group_instance_id TEXT,
  client_id TEXT NOT NULL,
  client_host TEXT NOT NULL,
  session_timeout_ms INTEGER NOT NULL,
  rebalance_timeout_ms INTEGER NOT NULL,
  assignment BLOB NOT NULL,
  PRIMARY KEY (group_id, position)
) STRICT, WITHOUT ROWID;

-- The assignors a member offers, in its order of preference, each with the member's subscription in that assignor's format.
CREATE TABLE group_member_protocol(
  group_id TEXT NOT NULL,
  member_position INTEGER NOT NULL,
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  metadata BLOB NOT NULL,
  PRIMARY KEY (group_id, member_position, position)
) STRICT, WITHOUT ROWID;

-- leader_epoch is -1 where the client named none; expire_timestamp is NULL where the retention of the broker holds.
CREATE TABLE committed_offset(
  group_id TEXT NOT NULL,
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  committed_offset INTEGER NOT NULL,
  leader_epoch INTEGER NOT NULL,
  metadata TEXT NOT NULL,
  commit_timestamp INTEGER NOT NULL,
  expire_timestamp INTEGER,
  PRIMARY KEY (group_id, topic, partition)
) STRICT, WITHOUT ROWID;
