-- What ties a node to one other without a third that decides: which of the two leads.
--
-- role: leader, standby, or fenced (it led, and knows that the other one does now). epoch: who was promoted last has the highest.
-- peer_*: a leader's standby, if it has one (peer_node is not null); a standby's leader; of a fenced node, the new leader.
-- registration: when the standby was taken in, by the leader's clock. was_complete: of a standby: since then it had once all that its leader
-- had acknowledged, and may be promoted.
-- to_fence: of a leader that was promoted: where its former leader may still be, which has not been told; empty once it has been.
-- promoted_over: of such a leader: the address it followed.
CREATE TABLE pair(
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  role TEXT NOT NULL CHECK (role IN ('leader', 'standby', 'fenced')),
  epoch INTEGER NOT NULL,
  peer_node INTEGER,
  peer_address TEXT NOT NULL,
  peer_kafka_address TEXT NOT NULL,
  since_ms INTEGER NOT NULL,
  was_complete INTEGER NOT NULL,
  registration INTEGER NOT NULL,
  to_fence TEXT NOT NULL,
  promoted_over TEXT NOT NULL
) STRICT;

-- Counts the changes of topics and settings, over all lives: a standby takes no image that is older than the one it has.
CREATE TABLE image_version(
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  version INTEGER NOT NULL
) STRICT;
INSERT INTO image_version VALUES (1, 1);
CREATE TRIGGER topic_created AFTER INSERT ON topic BEGIN UPDATE image_version SET version = version + 1; END;
CREATE TRIGGER topic_deleted AFTER DELETE ON topic BEGIN UPDATE image_version SET version = version + 1; END;
CREATE TRIGGER partition_created AFTER INSERT ON partition BEGIN UPDATE image_version SET version = version + 1; END;
CREATE TRIGGER partition_changed AFTER UPDATE ON partition BEGIN UPDATE image_version SET version = version + 1; END;
CREATE TRIGGER configuration_set AFTER INSERT ON configuration BEGIN UPDATE image_version SET version = version + 1; END;
CREATE TRIGGER configuration_dropped AFTER DELETE ON configuration BEGIN UPDATE image_version SET version = version + 1; END;
