-- SQL as people write it, over two topics, `events` and `other`: a statement a line. Each says the order of its rows, so that every door
-- has to give what a plain table of the same rows gives. `tools/compat/doors` asks all doors, `StatementTests` asks in process.

-- dates
SELECT strftime('%Y', timestamp / 1000, 'unixepoch') AS d, count(*), min(offset) FROM events WHERE timestamp >= 0 GROUP BY d ORDER BY d
SELECT strftime('%Y-%m', timestamp / 1000, 'unixepoch') AS d, count(*), min(offset) FROM events WHERE timestamp >= 0 GROUP BY d ORDER BY d
SELECT strftime('%Y-%m-%d', timestamp / 1000, 'unixepoch') AS d, count(*), min(offset) FROM events WHERE timestamp >= 0 GROUP BY d ORDER BY d
SELECT strftime('%H', timestamp / 1000, 'unixepoch') AS d, count(*), min(offset) FROM events WHERE timestamp >= 0 GROUP BY d ORDER BY d
SELECT strftime('%H:%M', timestamp / 1000, 'unixepoch') AS d, count(*), min(offset) FROM events WHERE timestamp >= 0 GROUP BY d ORDER BY d
SELECT strftime('%w', timestamp / 1000, 'unixepoch') AS d, count(*), min(offset) FROM events WHERE timestamp >= 0 GROUP BY d ORDER BY d
SELECT strftime('%j', timestamp / 1000, 'unixepoch') AS d, count(*), min(offset) FROM events WHERE timestamp >= 0 GROUP BY d ORDER BY d
SELECT strftime('%s', timestamp / 1000, 'unixepoch') AS d, count(*), min(offset) FROM events WHERE timestamp >= 0 GROUP BY d ORDER BY d
SELECT partition, offset, time FROM events WHERE time >= '2024-05-01T09:00' ORDER BY time, partition, offset LIMIT 17
SELECT partition, offset, time FROM events WHERE time >= '2024-05-01T09:01:30' ORDER BY time, partition, offset LIMIT 17
SELECT partition, offset, time FROM events WHERE time >= '2024-05-01T09:02:00.000Z' ORDER BY time, partition, offset LIMIT 17
SELECT partition, offset, time FROM events WHERE time >= '2024-05-01T09:03' ORDER BY time, partition, offset LIMIT 17
SELECT partition, offset, time FROM events WHERE time >= '2024-05-01T09:05:59.999Z' ORDER BY time, partition, offset LIMIT 17
SELECT partition, offset, time FROM events WHERE time >= '2024-05-01T09:08' ORDER BY time, partition, offset LIMIT 17
SELECT partition, offset, time FROM events WHERE time >= '2024-05-01T09:10' ORDER BY time, partition, offset LIMIT 17
SELECT partition, offset, time FROM events WHERE time >= '2024-05-01T09:59' ORDER BY time, partition, offset LIMIT 17
SELECT count(*), min(time), max(time) FROM events WHERE timestamp BETWEEN 1714554000000 + 0 AND 1714554000000 + 0 + 90000
SELECT count(*), min(time), max(time) FROM events WHERE timestamp BETWEEN 1714554000000 + 15000 AND 1714554000000 + 15000 + 90000
SELECT count(*), min(time), max(time) FROM events WHERE timestamp BETWEEN 1714554000000 + 60000 AND 1714554000000 + 60000 + 90000
SELECT count(*), min(time), max(time) FROM events WHERE timestamp BETWEEN 1714554000000 + 123456 AND 1714554000000 + 123456 + 90000
SELECT count(*), min(time), max(time) FROM events WHERE timestamp BETWEEN 1714554000000 + 300000 AND 1714554000000 + 300000 + 90000
SELECT count(*), min(time), max(time) FROM events WHERE timestamp BETWEEN 1714554000000 + -60000 AND 1714554000000 + -60000 + 90000
SELECT count(*), min(time), max(time) FROM events WHERE timestamp BETWEEN 1714554000000 + 9000000 AND 1714554000000 + 9000000 + 90000
SELECT substr(time, 1, 4) AS t, group_concat(offset) FROM (SELECT * FROM events ORDER BY partition, offset) GROUP BY t ORDER BY t
SELECT substr(time, 1, 10) AS t, group_concat(offset) FROM (SELECT * FROM events ORDER BY partition, offset) GROUP BY t ORDER BY t
SELECT substr(time, 1, 13) AS t, group_concat(offset) FROM (SELECT * FROM events ORDER BY partition, offset) GROUP BY t ORDER BY t
SELECT substr(time, 1, 16) AS t, group_concat(offset) FROM (SELECT * FROM events ORDER BY partition, offset) GROUP BY t ORDER BY t
SELECT substr(time, 1, 19) AS t, group_concat(offset) FROM (SELECT * FROM events ORDER BY partition, offset) GROUP BY t ORDER BY t
SELECT substr(time, 1, 24) AS t, group_concat(offset) FROM (SELECT * FROM events ORDER BY partition, offset) GROUP BY t ORDER BY t
SELECT partition, offset FROM events WHERE date(time) = date('2024-05-01', '+0 days') ORDER BY timestamp DESC, partition, offset LIMIT 9
SELECT partition, offset FROM events WHERE date(time) = date('2024-05-01', '+1 day') ORDER BY timestamp DESC, partition, offset LIMIT 9
SELECT partition, offset FROM events WHERE date(time) = date('2024-05-01', '-1 month') ORDER BY timestamp DESC, partition, offset LIMIT 9
SELECT partition, offset FROM events WHERE date(time) = date('2024-05-01', 'start of year') ORDER BY timestamp DESC, partition, offset LIMIT 9
SELECT offset, julianday(time) > julianday('2024-05-01T09:01:00Z') AS later FROM events WHERE partition = 1 ORDER BY offset
SELECT offset, julianday(time) > julianday('2024-05-01T09:02:00Z') AS later FROM events WHERE partition = 1 ORDER BY offset
SELECT offset, julianday(time) > julianday('2024-05-01T09:04:00Z') AS later FROM events WHERE partition = 1 ORDER BY offset

-- numbers
SELECT partition, sum(offset), sum(timestamp), sum(length(value)) FROM events GROUP BY partition ORDER BY partition
SELECT partition, avg(offset), avg(timestamp), avg(length(value)) FROM events GROUP BY partition ORDER BY partition
SELECT partition, total(offset), total(timestamp), total(length(value)) FROM events GROUP BY partition ORDER BY partition
SELECT partition, min(offset), min(timestamp), min(length(value)) FROM events GROUP BY partition ORDER BY partition
SELECT partition, max(offset), max(timestamp), max(length(value)) FROM events GROUP BY partition ORDER BY partition
SELECT partition, count(offset), count(timestamp), count(length(value)) FROM events GROUP BY partition ORDER BY partition
SELECT offset, CAST(value AS INTEGER) AS n FROM events WHERE CAST(value AS INTEGER) > 500 ORDER BY partition, offset
SELECT offset, CAST(value AS INTEGER) AS n FROM events WHERE CAST(value AS INTEGER) BETWEEN 1 AND 99 ORDER BY partition, offset
SELECT offset, CAST(value AS INTEGER) AS n FROM events WHERE CAST(value AS INTEGER) % 2 = 1 ORDER BY partition, offset
SELECT offset, CAST(value AS INTEGER) AS n FROM events WHERE CAST(value AS INTEGER) & 4 = 4 ORDER BY partition, offset
SELECT offset, CAST(value AS INTEGER) AS n FROM events WHERE CAST(value AS INTEGER) IN (SELECT offset FROM other) ORDER BY partition, offset
SELECT offset, CAST(value AS INTEGER) AS n FROM events WHERE CAST(value AS INTEGER) = 0 ORDER BY partition, offset
SELECT round(avg(timestamp - 1714554000000) / 1, 3) AS a, count(DISTINCT offset) FROM events WHERE timestamp > 0
SELECT round(avg(timestamp - 1714554000000) / 1000.0, 3) AS a, count(DISTINCT offset) FROM events WHERE timestamp > 0
SELECT round(avg(timestamp - 1714554000000) / 60000.0, 3) AS a, count(DISTINCT offset) FROM events WHERE timestamp > 0
SELECT round(avg(timestamp - 1714554000000) / 7, 3) AS a, count(DISTINCT offset) FROM events WHERE timestamp > 0
SELECT offset / 2 AS bucket, count(*), sum(offset % 2) FROM events GROUP BY bucket ORDER BY bucket DESC
SELECT offset / 5 AS bucket, count(*), sum(offset % 5) FROM events GROUP BY bucket ORDER BY bucket DESC
SELECT offset / 10 AS bucket, count(*), sum(offset % 10) FROM events GROUP BY bucket ORDER BY bucket DESC
SELECT offset / 1000 AS bucket, count(*), sum(offset % 1000) FROM events GROUP BY bucket ORDER BY bucket DESC
SELECT max(offset, 0), min(offset, 0) FROM events WHERE partition = 2 ORDER BY offset
SELECT max(offset, 12), min(offset, 12) FROM events WHERE partition = 2 ORDER BY offset
SELECT max(offset, 20.5), min(offset, 20.5) FROM events WHERE partition = 2 ORDER BY offset
SELECT max(offset, 'a'), min(offset, 'a') FROM events WHERE partition = 2 ORDER BY offset
SELECT max(offset, NULL), min(offset, NULL) FROM events WHERE partition = 2 ORDER BY offset
SELECT partition, offset FROM events WHERE offset = 20 ORDER BY offset DESC, partition
SELECT partition, offset FROM events WHERE offset < 20 ORDER BY offset DESC, partition
SELECT partition, offset FROM events WHERE offset > 20 ORDER BY offset DESC, partition
SELECT partition, offset FROM events WHERE offset <= 20 ORDER BY offset DESC, partition
SELECT partition, offset FROM events WHERE offset >= 20 ORDER BY offset DESC, partition
SELECT partition, offset FROM events WHERE offset <> 20 ORDER BY offset DESC, partition
SELECT partition, offset FROM events WHERE offset IS NOT 20 ORDER BY offset DESC, partition

-- text
SELECT partition, offset, value FROM events WHERE value LIKE '%alice%' ORDER BY partition, offset
SELECT partition, offset, value FROM events WHERE value LIKE '_1%' ORDER BY partition, offset
SELECT partition, offset, value FROM events WHERE value NOT LIKE '%x%' ORDER BY partition, offset
SELECT partition, offset, value FROM events WHERE value GLOB '[0-9]*' ORDER BY partition, offset
SELECT partition, offset, value FROM events WHERE value = 'grün 🎈' ORDER BY partition, offset
SELECT partition, offset, value FROM events WHERE value IS NULL ORDER BY partition, offset
SELECT partition, offset, value FROM events WHERE value IS NOT NULL AND length(value) = 0 ORDER BY partition, offset
SELECT partition, offset, value FROM events WHERE value > 'a' AND typeof(value) = 'text' ORDER BY partition, offset
SELECT partition, offset, value FROM events WHERE value BETWEEN '1' AND '5' ORDER BY partition, offset
SELECT partition, offset, value FROM events WHERE value LIKE 'GRÜN%' ESCAPE '!' ORDER BY partition, offset
SELECT upper(key) AS v FROM events ORDER BY partition, offset
SELECT length(key) AS v FROM events ORDER BY partition, offset
SELECT hex(key) AS v FROM events ORDER BY partition, offset
SELECT quote(value) AS v FROM events ORDER BY partition, offset
SELECT typeof(value) AS v FROM events ORDER BY partition, offset
SELECT substr(value, 2, 3) AS v FROM events ORDER BY partition, offset
SELECT substr(value, -4) AS v FROM events ORDER BY partition, offset
SELECT coalesce(key, 'none') AS v FROM events ORDER BY partition, offset
SELECT ifnull(value, key) AS v FROM events ORDER BY partition, offset
SELECT key || ':' || offset AS v FROM events ORDER BY partition, offset
SELECT unicode(key) AS v FROM events ORDER BY partition, offset
SELECT instr(value, 'l') AS v FROM events ORDER BY partition, offset
SELECT replace(value, 'a', 'b') AS v FROM events ORDER BY partition, offset
SELECT trim(value, '{}') AS v FROM events ORDER BY partition, offset
SELECT rtrim(key, '1') AS v FROM events ORDER BY partition, offset
SELECT nullif(key, 'k1') AS v FROM events ORDER BY partition, offset
SELECT iif(key = 'k1', 1, 0) AS v FROM events ORDER BY partition, offset
SELECT printf('%05d-%s', offset, key) AS v FROM events ORDER BY partition, offset
SELECT CAST(value AS TEXT) AS v FROM events ORDER BY partition, offset
SELECT CAST(key AS BLOB) AS v FROM events ORDER BY partition, offset
SELECT lower(compression) AS v FROM events ORDER BY partition, offset
SELECT length(headers) AS v FROM events ORDER BY partition, offset
SELECT key, count(*) AS n FROM events GROUP BY key HAVING n > 0 ORDER BY n DESC, key
SELECT key, count(*) AS n FROM events GROUP BY key HAVING n > 5 ORDER BY n DESC, key
SELECT key, count(*) AS n FROM events GROUP BY key HAVING n > 10 ORDER BY n DESC, key
SELECT key, count(*) AS n FROM events GROUP BY key HAVING n > 20 ORDER BY n DESC, key
SELECT key, count(*) AS n FROM events GROUP BY key HAVING n > 100 ORDER BY n DESC, key
SELECT DISTINCT key FROM events ORDER BY 1
SELECT DISTINCT typeof(key) FROM events ORDER BY 1
SELECT DISTINCT length(value) FROM events ORDER BY 1
SELECT DISTINCT substr(value, 1, 1) FROM events ORDER BY 1
SELECT DISTINCT compression FROM events ORDER BY 1
SELECT DISTINCT topic FROM events ORDER BY 1

-- JSON
SELECT partition, offset, value ->> '$.n' AS j FROM events WHERE json_valid(value) AND typeof(value) = 'text' AND value LIKE '{%' ORDER BY 1, 2
SELECT partition, offset, value ->> '$.user' AS j FROM events WHERE json_valid(value) AND typeof(value) = 'text' AND value LIKE '{%' ORDER BY 1, 2
SELECT partition, offset, value ->> '$.missing' AS j FROM events WHERE json_valid(value) AND typeof(value) = 'text' AND value LIKE '{%' ORDER BY 1, 2
SELECT partition, offset, value ->> '$.user.x' AS j FROM events WHERE json_valid(value) AND typeof(value) = 'text' AND value LIKE '{%' ORDER BY 1, 2
SELECT json_extract(value, '$.n', '$.user') FROM events WHERE value LIKE '{"n"%' ORDER BY partition, offset
SELECT json_type(value, '$.n') FROM events WHERE value LIKE '{"n"%' ORDER BY partition, offset
SELECT json_set(value, '$.n', offset) FROM events WHERE value LIKE '{"n"%' ORDER BY partition, offset
SELECT json(value) FROM events WHERE value LIKE '{"n"%' ORDER BY partition, offset
SELECT value -> '$.n' FROM events WHERE value LIKE '{"n"%' ORDER BY partition, offset
SELECT json_remove(value, '$.user') FROM events WHERE value LIKE '{"n"%' ORDER BY partition, offset
SELECT json_array(value ->> '$.n', offset) FROM events WHERE value LIKE '{"n"%' ORDER BY partition, offset
SELECT json_object('o', offset, 'v', json(value)) FROM events WHERE value LIKE '{"n"%' ORDER BY partition, offset
SELECT json_patch(value, '{"n":null}') FROM events WHERE value LIKE '{"n"%' ORDER BY partition, offset
SELECT json_insert(value, '$.z', hex(key)) FROM events WHERE value LIKE '{"n"%' ORDER BY partition, offset
SELECT json_group_array(offset) FROM (SELECT * FROM events WHERE partition = 0 ORDER BY offset)
SELECT json_group_array(quote(key)) FROM (SELECT * FROM events WHERE partition = 0 ORDER BY offset)
SELECT json_group_array(time) FROM (SELECT * FROM events WHERE partition = 0 ORDER BY offset)
SELECT json_group_array(headers) FROM (SELECT * FROM events WHERE partition = 0 ORDER BY offset)
SELECT json_group_array(json(headers)) FROM (SELECT * FROM events WHERE partition = 0 ORDER BY offset)
SELECT json_group_array(json_array(partition, offset)) FROM (SELECT * FROM events WHERE partition = 0 ORDER BY offset)
SELECT e.offset, j.key, j.value, j.type FROM events e, json_each(e.headers) j WHERE e.partition = 3 ORDER BY e.offset, j.id
SELECT e.offset, j.key, j.value, j.type FROM events e, json_tree(e.headers) j WHERE e.partition = 3 ORDER BY e.offset, j.id
SELECT headers ->> '$[0][0]' AS name, headers ->> '$[0][1]' AS v, count(*) FROM events GROUP BY 1, 2 ORDER BY 1, 2
SELECT headers ->> '$[1][0]' AS name, headers ->> '$[1][1]' AS v, count(*) FROM events GROUP BY 1, 2 ORDER BY 1, 2
SELECT headers ->> '$[2][0]' AS name, headers ->> '$[2][1]' AS v, count(*) FROM events GROUP BY 1, 2 ORDER BY 1, 2
SELECT headers ->> '$[#-1][0]' AS name, headers ->> '$[#-1][1]' AS v, count(*) FROM events GROUP BY 1, 2 ORDER BY 1, 2

-- two topics
SELECT e.partition, e.offset, o.offset FROM events e  JOIN other o ON e.offset = o.offset AND e.partition = o.partition ORDER BY 1, 2, 3
SELECT e.partition, e.offset, o.offset FROM events e INNER JOIN other o ON e.offset = o.offset AND e.partition = o.partition ORDER BY 1, 2, 3
SELECT e.partition, e.offset, o.offset FROM events e LEFT JOIN other o ON e.offset = o.offset AND e.partition = o.partition ORDER BY 1, 2, 3
SELECT e.partition, e.offset, o.offset FROM events e RIGHT JOIN other o ON e.offset = o.offset AND e.partition = o.partition ORDER BY 1, 2, 3
SELECT e.partition, e.offset, o.offset FROM events e FULL JOIN other o ON e.offset = o.offset AND e.partition = o.partition ORDER BY 1, 2, 3
SELECT e.partition, e.offset, o.offset FROM events e CROSS JOIN other o ON e.offset = o.offset AND e.partition = o.partition ORDER BY 1, 2, 3
SELECT e.key, count(*), sum(o.offset) FROM events e JOIN other o ON o.key IS e.key WHERE e.offset < 20 GROUP BY e.key ORDER BY 1
SELECT e.key, count(*), sum(o.offset) FROM events e JOIN other o ON o.key IS e.key WHERE o.partition = 1 GROUP BY e.key ORDER BY 1
SELECT e.key, count(*), sum(o.offset) FROM events e JOIN other o ON o.key IS e.key WHERE e.partition IN (0, 2) GROUP BY e.key ORDER BY 1
SELECT e.key, count(*), sum(o.offset) FROM events e JOIN other o ON o.key IS e.key WHERE e.timestamp < o.timestamp GROUP BY e.key ORDER BY 1
SELECT e.key, count(*), sum(o.offset) FROM events e JOIN other o ON o.key IS e.key WHERE e.value = o.value GROUP BY e.key ORDER BY 1
SELECT e.key, count(*), sum(o.offset) FROM events e JOIN other o ON o.key IS e.key WHERE 1 GROUP BY e.key ORDER BY 1
SELECT offset, value FROM events e WHERE partition = 2 AND EXISTS (SELECT 1 FROM other o WHERE o.offset = e.offset AND o.key IS e.key) ORDER BY offset
SELECT offset, value FROM events e WHERE partition = 2 AND NOT EXISTS (SELECT 1 FROM other o WHERE o.offset = e.offset AND o.key IS e.key) ORDER BY offset
SELECT offset FROM events WHERE partition < 2 UNION SELECT offset FROM other ORDER BY 1
SELECT offset FROM events WHERE partition < 2 UNION ALL SELECT offset FROM other ORDER BY 1
SELECT offset FROM events WHERE partition < 2 INTERSECT SELECT offset FROM other ORDER BY 1
SELECT offset FROM events WHERE partition < 2 EXCEPT SELECT offset FROM other ORDER BY 1
SELECT (SELECT count(*) FROM other o WHERE o.offset <= e.offset) AS x, e.offset FROM events e WHERE partition = 1 ORDER BY e.offset
SELECT (SELECT max(timestamp) FROM other o WHERE o.offset <= e.offset) AS x, e.offset FROM events e WHERE partition = 1 ORDER BY e.offset
SELECT (SELECT min(key) FROM other o WHERE o.offset <= e.offset) AS x, e.offset FROM events e WHERE partition = 1 ORDER BY e.offset
SELECT (SELECT group_concat(DISTINCT partition) FROM other o WHERE o.offset <= e.offset) AS x, e.offset FROM events e WHERE partition = 1 ORDER BY e.offset
SELECT a.offset, b.offset FROM events a JOIN events b ON a.partition = 0 AND b.partition = 0 AND b.timestamp BETWEEN a.timestamp AND a.timestamp + 5000 ORDER BY 1, 2
SELECT a.offset, b.offset FROM events a JOIN events b ON a.partition = 0 AND b.partition = 1 AND b.timestamp BETWEEN a.timestamp AND a.timestamp + 5000 ORDER BY 1, 2
SELECT a.offset, b.offset FROM events a JOIN events b ON a.partition = 0 AND b.partition = 2 AND b.timestamp BETWEEN a.timestamp AND a.timestamp + 5000 ORDER BY 1, 2
SELECT a.offset, b.offset FROM events a JOIN events b ON a.partition = 0 AND b.partition = 3 AND b.timestamp BETWEEN a.timestamp AND a.timestamp + 5000 ORDER BY 1, 2
SELECT offset FROM events WHERE (partition, offset) IN (SELECT partition, offset FROM other WHERE offset < 10) ORDER BY 1
SELECT offset FROM events WHERE (partition, offset) IN (SELECT partition, offset FROM other WHERE partition = 1) ORDER BY 1
SELECT offset FROM events WHERE (partition, offset) IN (SELECT partition, offset FROM other WHERE key IS NOT NULL) ORDER BY 1

-- windows
SELECT partition, offset, row_number() OVER (PARTITION BY partition ORDER BY offset) AS w FROM events ORDER BY 1, 2
SELECT partition, offset, rank() OVER (PARTITION BY partition ORDER BY offset) AS w FROM events ORDER BY 1, 2
SELECT partition, offset, lag(offset) OVER (PARTITION BY partition ORDER BY offset) AS w FROM events ORDER BY 1, 2
SELECT partition, offset, lead(timestamp) OVER (PARTITION BY partition ORDER BY offset) AS w FROM events ORDER BY 1, 2
SELECT partition, offset, sum(length(value)) OVER (PARTITION BY partition ORDER BY offset) AS w FROM events ORDER BY 1, 2
SELECT partition, offset, count(*) OVER (PARTITION BY partition ORDER BY offset) AS w FROM events ORDER BY 1, 2
SELECT partition, offset, first_value(key) OVER (PARTITION BY partition ORDER BY offset) AS w FROM events ORDER BY 1, 2
SELECT partition, offset, nth_value(offset, 2) OVER (PARTITION BY partition ORDER BY offset) AS w FROM events ORDER BY 1, 2
SELECT partition, offset, ntile(3) OVER (PARTITION BY partition ORDER BY offset) AS w FROM events ORDER BY 1, 2
SELECT partition, offset, percent_rank() OVER (PARTITION BY partition ORDER BY offset) AS w FROM events ORDER BY 1, 2
SELECT partition, offset, cume_dist() OVER (PARTITION BY partition ORDER BY offset) AS w FROM events ORDER BY 1, 2
SELECT partition, offset, max(timestamp) OVER (PARTITION BY partition ORDER BY offset) AS w FROM events ORDER BY 1, 2
SELECT partition, offset, sum(offset) OVER (ORDER BY timestamp, partition, offset ROWS 2 PRECEDING) AS w FROM events ORDER BY timestamp, partition, offset
SELECT partition, offset, sum(offset) OVER (ORDER BY timestamp, partition, offset ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS w FROM events ORDER BY timestamp, partition, offset
SELECT partition, offset, sum(offset) OVER (ORDER BY timestamp, partition, offset ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS w FROM events ORDER BY timestamp, partition, offset
SELECT partition, offset, sum(offset) OVER (ORDER BY timestamp, partition, offset GROUPS 1 PRECEDING) AS w FROM events ORDER BY timestamp, partition, offset
SELECT partition, offset, sum(offset) OVER (ORDER BY timestamp, partition, offset ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW) AS w FROM events ORDER BY timestamp, partition, offset
SELECT * FROM (SELECT partition, offset, row_number() OVER (PARTITION BY key ORDER BY offset, partition, offset) AS n FROM events) WHERE n <= 2 ORDER BY 1, 2
SELECT * FROM (SELECT partition, offset, row_number() OVER (PARTITION BY key ORDER BY offset DESC, partition, offset) AS n FROM events) WHERE n <= 2 ORDER BY 1, 2
SELECT * FROM (SELECT partition, offset, row_number() OVER (PARTITION BY key ORDER BY timestamp, partition, offset) AS n FROM events) WHERE n <= 2 ORDER BY 1, 2
SELECT * FROM (SELECT partition, offset, row_number() OVER (PARTITION BY key ORDER BY timestamp DESC, partition, offset) AS n FROM events) WHERE n <= 2 ORDER BY 1, 2
SELECT * FROM (SELECT partition, offset, row_number() OVER (PARTITION BY key ORDER BY length(value), partition, offset) AS n FROM events) WHERE n <= 2 ORDER BY 1, 2
SELECT offset, count(*) FILTER (WHERE key = 'k1') OVER () AS f FROM events WHERE partition = 0 ORDER BY offset
SELECT offset, count(*) FILTER (WHERE value IS NULL) OVER () AS f FROM events WHERE partition = 0 ORDER BY offset
SELECT offset, count(*) FILTER (WHERE offset > 10) OVER () AS f FROM events WHERE partition = 0 ORDER BY offset

-- recursion
WITH RECURSIVE m(t) AS (SELECT 1714554000000 UNION ALL SELECT t + 1000 FROM m WHERE t < 1714554000000 + 5 * 1000) SELECT t, (SELECT count(*) FROM events WHERE timestamp >= t AND timestamp < t + 1000) FROM m
WITH RECURSIVE m(t) AS (SELECT 1714554000000 UNION ALL SELECT t + 30000 FROM m WHERE t < 1714554000000 + 5 * 30000) SELECT t, (SELECT count(*) FROM events WHERE timestamp >= t AND timestamp < t + 30000) FROM m
WITH RECURSIVE m(t) AS (SELECT 1714554000000 UNION ALL SELECT t + 60000 FROM m WHERE t < 1714554000000 + 5 * 60000) SELECT t, (SELECT count(*) FROM events WHERE timestamp >= t AND timestamp < t + 60000) FROM m
WITH RECURSIVE m(t) AS (SELECT 1714554000000 UNION ALL SELECT t + 120000 FROM m WHERE t < 1714554000000 + 5 * 120000) SELECT t, (SELECT count(*) FROM events WHERE timestamp >= t AND timestamp < t + 120000) FROM m
WITH RECURSIVE m(t) AS (SELECT 1714554000000 UNION ALL SELECT t + 3600000 FROM m WHERE t < 1714554000000 + 5 * 3600000) SELECT t, (SELECT count(*) FROM events WHERE timestamp >= t AND timestamp < t + 3600000) FROM m
WITH RECURSIVE chain(o, d) AS (SELECT 0, 0 UNION SELECT e.offset, d + 1 FROM chain JOIN events e ON e.partition = 0 AND e.offset = o + 1 WHERE d < 12) SELECT * FROM chain
WITH RECURSIVE chain(o, d) AS (SELECT 5, 0 UNION SELECT e.offset, d + 1 FROM chain JOIN events e ON e.partition = 0 AND e.offset = o + 1 WHERE d < 12) SELECT * FROM chain
WITH RECURSIVE chain(o, d) AS (SELECT 10, 0 UNION SELECT e.offset, d + 1 FROM chain JOIN events e ON e.partition = 0 AND e.offset = o + 1 WHERE d < 12) SELECT * FROM chain
WITH RECURSIVE chain(o, d) AS (SELECT 100, 0 UNION SELECT e.offset, d + 1 FROM chain JOIN events e ON e.partition = 0 AND e.offset = o + 1 WHERE d < 12) SELECT * FROM chain
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i, e.value FROM n LEFT JOIN events e ON e.offset = i AND e.partition = 3 ORDER BY i
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 20) SELECT i, e.value FROM n LEFT JOIN events e ON e.offset = i AND e.partition = 3 ORDER BY i
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 60) SELECT i, e.value FROM n LEFT JOIN events e ON e.offset = i AND e.partition = 3 ORDER BY i

-- the other topic, and the order of time under filters that are not pushed down
SELECT partition, offset, timestamp, key FROM other ORDER BY timestamp, partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY timestamp DESC, partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY offset DESC, partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY time, partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY time DESC, partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY key, partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY batch_offset DESC, partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY length(value), partition, offset LIMIT 8
SELECT partition, offset, timestamp, key FROM other ORDER BY offset % 3, partition, offset LIMIT 8
SELECT offset, timestamp FROM events WHERE key = 'k1' ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE key IS NULL ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE value LIKE '%alice%' ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE typeof(value) = 'blob' ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE offset % 2 = 1 ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE partition = 0 ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE partition <> 0 ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE partition IN (1, 2) ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE offset > 10 ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE timestamp < 1714554060000 ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE headers <> '[]' ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE compression = 'zstd' ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE producer_id = 77 ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE length(value) > 100 ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE 1 ORDER BY timestamp DESC, partition, offset LIMIT 11
SELECT offset, timestamp FROM events WHERE key = 'k2' ORDER BY timestamp, offset DESC, partition LIMIT 5 OFFSET 3
SELECT offset, timestamp FROM events WHERE value IS NULL ORDER BY timestamp, offset DESC, partition LIMIT 5 OFFSET 3
SELECT offset, timestamp FROM events WHERE value LIKE '%1%' ORDER BY timestamp, offset DESC, partition LIMIT 5 OFFSET 3
SELECT offset, timestamp FROM events WHERE offset % 3 = 0 ORDER BY timestamp, offset DESC, partition LIMIT 5 OFFSET 3
SELECT offset, timestamp FROM events WHERE partition = 2 ORDER BY timestamp, offset DESC, partition LIMIT 5 OFFSET 3
SELECT offset, timestamp FROM events WHERE partition > 0 ORDER BY timestamp, offset DESC, partition LIMIT 5 OFFSET 3
SELECT offset, timestamp FROM events WHERE offset < 30 ORDER BY timestamp, offset DESC, partition LIMIT 5 OFFSET 3
SELECT offset, timestamp FROM events WHERE timestamp > 1714554060000 ORDER BY timestamp, offset DESC, partition LIMIT 5 OFFSET 3
SELECT offset, timestamp FROM events WHERE headers = '[]' ORDER BY timestamp, offset DESC, partition LIMIT 5 OFFSET 3
SELECT offset, timestamp FROM events WHERE compression <> 'zstd' ORDER BY timestamp, offset DESC, partition LIMIT 5 OFFSET 3
SELECT offset, timestamp FROM events WHERE producer_id IS NULL ORDER BY timestamp, offset DESC, partition LIMIT 5 OFFSET 3
SELECT offset, timestamp FROM events WHERE leader_epoch = 3 ORDER BY timestamp, offset DESC, partition LIMIT 5 OFFSET 3
SELECT partition AS v, count(*) FROM other GROUP BY v ORDER BY v
SELECT key AS v, count(*) FROM other GROUP BY v ORDER BY v
SELECT offset % 4 AS v, count(*) FROM other GROUP BY v ORDER BY v
SELECT typeof(value) AS v, count(*) FROM other GROUP BY v ORDER BY v
SELECT compression AS v, count(*) FROM other GROUP BY v ORDER BY v
SELECT substr(time, 1, 16) AS v, count(*) FROM other GROUP BY v ORDER BY v
SELECT producer_id AS v, count(*) FROM other GROUP BY v ORDER BY v
SELECT length(headers) > 2 AS v, count(*) FROM other GROUP BY v ORDER BY v
SELECT max(offset), min(offset), count(DISTINCT offset) FROM other
SELECT max(timestamp), min(timestamp), count(DISTINCT timestamp) FROM other
SELECT max(time), min(time), count(DISTINCT time) FROM other
SELECT max(key), min(key), count(DISTINCT key) FROM other
SELECT max(length(value)), min(length(value)), count(DISTINCT length(value)) FROM other
SELECT max(partition), min(partition), count(DISTINCT partition) FROM other

-- order and limits
SELECT partition, offset, timestamp FROM events ORDER BY timestamp, partition, offset LIMIT 13 OFFSET 4
SELECT partition, offset, timestamp FROM events ORDER BY timestamp DESC, partition, offset LIMIT 13 OFFSET 4
SELECT partition, offset, timestamp FROM events ORDER BY offset, partition, offset LIMIT 13 OFFSET 4
SELECT partition, offset, timestamp FROM events ORDER BY offset DESC, partition, offset LIMIT 13 OFFSET 4
SELECT partition, offset, timestamp FROM events ORDER BY time, partition, offset LIMIT 13 OFFSET 4
SELECT partition, offset, timestamp FROM events ORDER BY time DESC, partition, offset LIMIT 13 OFFSET 4
SELECT partition, offset, timestamp FROM events ORDER BY key, partition, offset LIMIT 13 OFFSET 4
SELECT partition, offset, timestamp FROM events ORDER BY key DESC, partition, offset LIMIT 13 OFFSET 4
SELECT partition, offset, timestamp FROM events ORDER BY length(value) DESC, partition, offset LIMIT 13 OFFSET 4
SELECT partition, offset, timestamp FROM events ORDER BY batch_offset, partition, offset LIMIT 13 OFFSET 4
SELECT partition, offset, timestamp FROM events ORDER BY producer_id, partition, offset LIMIT 13 OFFSET 4
SELECT partition, offset, timestamp FROM events ORDER BY leader_epoch, timestamp DESC, partition, offset LIMIT 13 OFFSET 4
SELECT partition, offset, timestamp FROM events ORDER BY compression, timestamp, partition, offset LIMIT 13 OFFSET 4
SELECT max(timestamp) FROM events
SELECT min(timestamp) FROM events
SELECT max(offset) FROM events
SELECT min(offset) FROM events
SELECT max(time) FROM events
SELECT min(time) FROM events
SELECT max(partition) FROM events
SELECT count(timestamp) FROM events
SELECT count(key) FROM events
SELECT sum(partition) FROM events
SELECT max(timestamp) FROM events WHERE partition = 1 AND offset > 7
SELECT min(timestamp) FROM events WHERE partition = 1 AND offset > 7
SELECT max(offset) FROM events WHERE partition = 1 AND offset > 7
SELECT min(offset) FROM events WHERE partition = 1 AND offset > 7
SELECT max(time), min(key) FROM events WHERE partition = 1 AND offset > 7
SELECT count(*) FROM events WHERE partition = 1 AND offset > 7
SELECT partition, offset, producer_id, batch_offset FROM events WHERE producer_id = 77 ORDER BY partition, offset
SELECT partition, offset, producer_id, batch_offset FROM events WHERE producer_id IS NULL ORDER BY partition, offset
SELECT partition, offset, producer_id, batch_offset FROM events WHERE producer_id > 76.5 ORDER BY partition, offset
SELECT partition, offset, producer_id, batch_offset FROM events WHERE leader_epoch = 3 ORDER BY partition, offset
SELECT partition, offset, producer_id, batch_offset FROM events WHERE leader_epoch < 3 ORDER BY partition, offset
SELECT partition, offset, producer_id, batch_offset FROM events WHERE batch_offset = 12 ORDER BY partition, offset
SELECT partition, offset, producer_id, batch_offset FROM events WHERE batch_offset BETWEEN 5 AND 20 ORDER BY partition, offset
SELECT partition, offset, producer_id, batch_offset FROM events WHERE compression = 'gzip' ORDER BY partition, offset
SELECT partition, offset, producer_id, batch_offset FROM events WHERE compression <> 'none' AND producer_id = '77' ORDER BY partition, offset
SELECT partition, offset, producer_id, batch_offset FROM events WHERE batch_offset = offset ORDER BY partition, offset
SELECT partition, offset, producer_id, batch_offset FROM events WHERE producer_id IN (77, 78) ORDER BY partition, offset
SELECT partition, offset, producer_id, batch_offset FROM events WHERE producer_id IN (1, NULL) ORDER BY partition, offset
SELECT partition, offset FROM events WHERE partition IN (0, 2) ORDER BY partition, offset
SELECT partition, offset FROM events WHERE partition IN (0, '2', 9) ORDER BY partition, offset
SELECT partition, offset FROM events WHERE partition NOT IN (1) ORDER BY partition, offset
SELECT partition, offset FROM events WHERE offset IN (1, 5, 9, 13) ORDER BY partition, offset
SELECT partition, offset FROM events WHERE offset IN (SELECT offset * 2 FROM other) ORDER BY partition, offset
SELECT partition, offset FROM events WHERE timestamp IN (SELECT timestamp FROM events WHERE partition = 1) ORDER BY partition, offset
SELECT partition, offset FROM events WHERE time IN (SELECT time FROM events WHERE offset < 9) ORDER BY partition, offset
SELECT partition, offset FROM events WHERE partition IN (1, 3) AND offset IN (10, 11, 12) AND timestamp > 0 ORDER BY partition, offset
SELECT partition, offset FROM events WHERE partition = 1 OR (partition = 2 AND offset > 15) ORDER BY partition, offset
SELECT partition, offset FROM events WHERE NOT (partition = 1 OR offset < 12) ORDER BY partition, offset
SELECT partition, offset FROM events WHERE offset BETWEEN 5 AND 9 OR offset BETWEEN 20 AND 22 ORDER BY partition, offset
SELECT partition, offset FROM events WHERE partition > 0 AND partition < 3 ORDER BY partition, offset
SELECT partition, offset FROM events WHERE (partition, offset) > (1, 15) ORDER BY partition, offset
SELECT partition, offset FROM events WHERE timestamp > (SELECT avg(timestamp) FROM events WHERE timestamp > 0) ORDER BY partition, offset
SELECT partition, offset FROM events WHERE offset = (SELECT max(offset) FROM events) ORDER BY partition, offset
SELECT partition, offset FROM events WHERE CASE WHEN partition = 0 THEN offset < 8 ELSE offset < 12 END ORDER BY partition, offset

-- whole statements: joins, groups, windows, subqueries
SELECT count(*), sum("offset"), min(timestamp), max(time) FROM events
SELECT count(*) FROM events
SELECT partition, count(*), max(offset) FROM events GROUP BY partition ORDER BY partition DESC
SELECT DISTINCT partition FROM events ORDER BY partition
SELECT DISTINCT typeof(key), typeof(value) FROM events ORDER BY 1, 2
SELECT max(offset) FROM events WHERE partition = 2
SELECT min(offset), partition FROM events WHERE partition IN (1, 3, 9, NULL) GROUP BY 2 ORDER BY 2
SELECT a.partition, a.offset, b.offset FROM events a JOIN events b ON b.offset = a.offset + 1 AND b.partition = a.partition ORDER BY 1, 2 LIMIT 100
SELECT a.offset, b.value FROM events a LEFT JOIN events b ON a.partition = 0 AND b.partition = 1 AND a.offset = b.offset ORDER BY a.partition, a.offset
SELECT a.key, count(*) FROM events a, other o WHERE a.key = o.key GROUP BY a.key ORDER BY 1
SELECT o.offset, e.offset FROM other o RIGHT JOIN events e ON e.offset = o.offset AND e.partition = 0 ORDER BY e.partition, e.offset LIMIT 50
SELECT value FROM events WHERE offset IN (SELECT offset FROM other) AND partition IN (SELECT partition FROM other WHERE offset < 3) ORDER BY partition, offset
SELECT partition, offset, sum(length(value)) OVER (PARTITION BY partition ORDER BY offset ROWS 3 PRECEDING) FROM events ORDER BY partition, offset
SELECT partition, offset, timestamp - lag(timestamp) OVER (PARTITION BY partition ORDER BY offset) FROM events ORDER BY 1, 2
SELECT * FROM (SELECT offset, partition, value FROM events ORDER BY offset DESC, partition LIMIT 5) ORDER BY 1, 2
SELECT partition, offset FROM events WHERE partition = 1 OR offset = 12 ORDER BY 1, 2
SELECT partition, offset FROM events WHERE (partition = 1 AND offset < 20) OR (partition = 2 AND offset > 30) OR offset = 25 ORDER BY 1, 2
SELECT count(*) FROM events WHERE offset = 15 OR offset = 15 OR (offset = 15 AND partition = 0)
SELECT headers, headers ->> '$[0][0]' FROM events WHERE json_array_length(headers) > 0 ORDER BY partition, offset
SELECT EXISTS (SELECT 1 FROM events WHERE offset > 1000000), (SELECT value FROM events WHERE partition = 0 ORDER BY offset DESC LIMIT 1)
WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 30) SELECT i, (SELECT count(*) FROM events WHERE offset = i) FROM n
SELECT offset FROM events WHERE partition = 0 UNION SELECT offset FROM other ORDER BY 1 DESC LIMIT 20
SELECT offset, partition FROM events WHERE partition = 1 INTERSECT SELECT offset, partition FROM events WHERE offset > 20 ORDER BY 1
SELECT substr(time, 1, 10) AS day, count(*) FROM events GROUP BY day ORDER BY day
SELECT producer_id IS NULL, leader_epoch, compression, count(*) FROM events GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
SELECT max(value), offset FROM events WHERE partition = 0
SELECT group_concat(offset, ',') FROM (SELECT offset FROM events WHERE partition = 2 ORDER BY offset DESC)
SELECT topic, partition, offset FROM events ORDER BY topic, partition DESC, offset LIMIT 33 OFFSET 7
SELECT hex(key), quote(value) FROM events WHERE typeof(value) = 'blob' ORDER BY partition, offset
SELECT offset FROM events WHERE value LIKE '%7%' AND partition = 0 ORDER BY offset DESC LIMIT 3
SELECT time FROM events WHERE time LIKE '2024-05-01T09:0%' ORDER BY partition, offset
SELECT offset FROM events WHERE partition = '1' ORDER BY partition, offset
SELECT offset FROM events WHERE partition = '1x' OR partition = x'31' ORDER BY offset
