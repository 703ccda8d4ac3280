-- A column is bigint by what it is made of, and has other numbers.
SELECT max(offset, 20.5), min(offset, 20.5) FROM events WHERE partition = 2 ORDER BY offset

-- A column is bigint by what it is made of, and has texts.
SELECT max(offset, 'a'), min(offset, 'a') FROM events WHERE partition = 2 ORDER BY offset

-- A column has texts and blobs, where the first row makes it text.
SELECT partition, offset, value FROM events WHERE value NOT LIKE '%x%' ORDER BY partition, offset
SELECT substr(value, 2, 3) AS v FROM events ORDER BY partition, offset
SELECT substr(value, -4) AS v FROM events ORDER BY partition, offset
SELECT ifnull(value, key) AS v FROM events ORDER BY partition, offset
SELECT key, count(*) AS n FROM events GROUP BY key HAVING n > 0 ORDER BY n DESC, key
SELECT key, count(*) AS n FROM events GROUP BY key HAVING n > 5 ORDER BY n DESC, key
SELECT key, count(*) AS n FROM events GROUP BY key HAVING n > 10 ORDER BY n DESC, key
SELECT key, count(*) AS n FROM events GROUP BY key HAVING n > 20 ORDER BY n DESC, key
SELECT DISTINCT key FROM events ORDER BY 1
SELECT DISTINCT substr(value, 1, 1) FROM events ORDER BY 1
SELECT e.key, count(*), sum(o.offset) FROM events e JOIN other o ON o.key IS e.key WHERE e.offset < 20 GROUP BY e.key ORDER BY 1
SELECT e.key, count(*), sum(o.offset) FROM events e JOIN other o ON o.key IS e.key WHERE o.partition = 1 GROUP BY e.key ORDER BY 1
SELECT e.key, count(*), sum(o.offset) FROM events e JOIN other o ON o.key IS e.key WHERE e.partition IN (0, 2) GROUP BY e.key ORDER BY 1
SELECT e.key, count(*), sum(o.offset) FROM events e JOIN other o ON o.key IS e.key WHERE e.timestamp < o.timestamp GROUP BY e.key ORDER BY 1
SELECT e.key, count(*), sum(o.offset) FROM events e JOIN other o ON o.key IS e.key WHERE e.value = o.value GROUP BY e.key ORDER BY 1
SELECT e.key, count(*), sum(o.offset) FROM events e JOIN other o ON o.key IS e.key WHERE 1 GROUP BY e.key ORDER BY 1
SELECT offset, value FROM events e WHERE partition = 2 AND EXISTS (SELECT 1 FROM other o WHERE o.offset = e.offset AND o.key IS e.key) ORDER BY offset
SELECT offset, value FROM events e WHERE partition = 2 AND NOT EXISTS (SELECT 1 FROM other o WHERE o.offset = e.offset AND o.key IS e.key) ORDER BY offset
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i, e.value FROM n LEFT JOIN events e ON e.offset = i AND e.partition = 3 ORDER BY i
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 20) SELECT i, e.value FROM n LEFT JOIN events e ON e.offset = i AND e.partition = 3 ORDER BY i
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 60) SELECT i, e.value FROM n LEFT JOIN events e ON e.offset = i AND e.partition = 3 ORDER BY i
SELECT partition, offset, timestamp, key FROM other ORDER BY timestamp, partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY timestamp DESC, partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY offset DESC, partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY time, partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY time DESC, partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY length(value), partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY offset % 3, partition, offset LIMIT 8
SELECT key AS v, count(*) FROM other GROUP BY v ORDER BY v
SELECT a.offset, b.value FROM events a LEFT JOIN events b ON a.partition = 0 AND b.partition = 1 AND a.offset = b.offset ORDER BY a.partition, a.offset
SELECT a.key, count(*) FROM events a, other o WHERE a.key = o.key GROUP BY a.key ORDER BY 1
SELECT value FROM events WHERE offset IN (SELECT offset FROM other) AND partition IN (SELECT partition FROM other WHERE offset < 3) ORDER BY partition, offset
SELECT * FROM (SELECT offset, partition, value FROM events ORDER BY offset DESC, partition LIMIT 5) ORDER BY 1, 2

-- A column has texts that are no UTF-8, which Postgres' text cannot be.
SELECT upper(key) AS v FROM events ORDER BY partition, offset
SELECT key || ':' || offset AS v FROM events ORDER BY partition, offset
SELECT replace(value, 'a', 'b') AS v FROM events ORDER BY partition, offset
SELECT trim(value, '{}') AS v FROM events ORDER BY partition, offset
SELECT rtrim(key, '1') AS v FROM events ORDER BY partition, offset
SELECT printf('%05d-%s', offset, key) AS v FROM events ORDER BY partition, offset
SELECT CAST(value AS TEXT) AS v FROM events ORDER BY partition, offset
