-- An index of a stretch of one segment: written once, sealed, and then only read. Beside these two there is for each row of `indexed`
-- a table `value_<number>(value, batch_offset, records)`, or an FTS5 table `words_<number>` without content whose row ids are offsets of records.

-- Which part of which log. A segment has other records where its last indexed batch is another one.
CREATE TABLE extent(
  singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
  topic_id BLOB NOT NULL,
  partition INTEGER NOT NULL,
  segment_base INTEGER NOT NULL,
  segment_generation INTEGER NOT NULL,
  from_offset INTEGER NOT NULL,
  to_offset INTEGER NOT NULL,
  last_batch_offset INTEGER NOT NULL,
  last_batch_epoch INTEGER NOT NULL,
  last_batch_crc INTEGER NOT NULL,
  batches INTEGER NOT NULL,
  records INTEGER NOT NULL
) STRICT;

-- What is indexed, and by which definition: an index counts for exactly that.
CREATE TABLE indexed(
  number INTEGER PRIMARY KEY,
  definition TEXT NOT NULL
) STRICT;
