import Testing

@testable import Query

/// Statements as people write them, over two topics and over plain tables with the same rows.
private enum Statements {
  /// Each family: a statement with `{}` for what is put in, and what to put in.
  private static let families: [(statement: String, variants: [String])] = [
    // dates
    (
      "SELECT strftime('{}', timestamp / 1000, 'unixepoch') AS d, count(*), min(offset) FROM events WHERE timestamp >= 0 GROUP BY d ORDER BY d",
      ["%Y", "%Y-%m", "%Y-%m-%d", "%H", "%H:%M", "%w", "%j", "%s"]
    ),
    (
      "SELECT partition, offset, time FROM events WHERE time >= '2024-05-01T09:{}' ORDER BY time, partition, offset LIMIT 17",
      ["00", "01:30", "02:00.000Z", "03", "05:59.999Z", "08", "10", "59"]
    ),
    (
      "SELECT count(*), min(time), max(time) FROM events WHERE timestamp BETWEEN 1714554000000 + {} AND 1714554000000 + {} + 90000",
      ["0", "15000", "60000", "123456", "300000", "-60000", "9000000"]
    ),
    (
      "SELECT substr(time, 1, {}) AS t, group_concat(offset) FROM (SELECT * FROM events ORDER BY partition, offset) GROUP BY t ORDER BY t",
      ["4", "10", "13", "16", "19", "24"]
    ),
    (
      "SELECT partition, offset FROM events WHERE date(time) = date('2024-05-01', '{}') ORDER BY timestamp DESC, partition, offset LIMIT 9",
      ["+0 days", "+1 day", "-1 month", "start of year"]
    ),
    (
      "SELECT offset, julianday(time) > julianday('2024-05-01T09:0{}:00Z') AS later FROM events WHERE partition = 1 ORDER BY offset",
      ["1", "2", "4"]
    ),
    // numbers
    (
      "SELECT partition, {}(offset), {}(timestamp), {}(length(value)) FROM events GROUP BY partition ORDER BY partition",
      ["sum", "avg", "total", "min", "max", "count"]
    ),
    (
      "SELECT offset, CAST(value AS INTEGER) AS n FROM events WHERE CAST(value AS INTEGER) {} ORDER BY partition, offset",
      ["> 500", "BETWEEN 1 AND 99", "% 2 = 1", "& 4 = 4", "IN (SELECT offset FROM other)", "= 0"]
    ),
    (
      "SELECT round(avg(timestamp - 1714554000000) / {}, 3) AS a, count(DISTINCT offset) FROM events WHERE timestamp > 0",
      ["1", "1000.0", "60000.0", "7"]
    ),
    (
      "SELECT offset / {0} AS bucket, count(*), sum(offset % {0}) FROM events GROUP BY bucket ORDER BY bucket DESC",
      ["2", "5", "10", "1000"]
    ),
    (
      "SELECT max(offset, {}), min(offset, {}) FROM events WHERE partition = 2 ORDER BY offset",
      ["0", "12", "20.5", "'a'", "NULL"]
    ),
    (
      "SELECT partition, offset FROM events WHERE offset {} 20 ORDER BY offset DESC, partition",
      ["=", "<", ">", "<=", ">=", "<>", "IS NOT"]
    ),
    // text
    (
      "SELECT partition, offset, value FROM events WHERE value {} ORDER BY partition, offset",
      [
        "LIKE '%alice%'", "LIKE '_1%'", "NOT LIKE '%x%'", "GLOB '[0-9]*'", "= 'grün 🎈'", "IS NULL",
        "IS NOT NULL AND length(value) = 0",
        "> 'a' AND typeof(value) = 'text'", "BETWEEN '1' AND '5'", "LIKE 'GRÜN%' ESCAPE '!'",
      ]
    ),
    (
      "SELECT {} AS v FROM events ORDER BY partition, offset",
      [
        "upper(key)", "length(key)", "hex(key)", "quote(value)", "typeof(value)", "substr(value, 2, 3)", "substr(value, -4)",
        "coalesce(key, 'none')", "ifnull(value, key)", "key || ':' || offset", "unicode(key)", "instr(value, 'l')",
        "replace(value, 'a', 'b')", "trim(value, '{}')", "rtrim(key, '1')", "nullif(key, 'k1')", "iif(key = 'k1', 1, 0)",
        "printf('%05d-%s', offset, key)", "CAST(value AS TEXT)", "CAST(key AS BLOB)", "lower(compression)", "length(headers)",
      ]
    ),
    (
      "SELECT key, count(*) AS n FROM events GROUP BY key HAVING n > {} ORDER BY n DESC, key", ["0", "5", "10", "20", "100"]
    ),
    (
      "SELECT DISTINCT {} FROM events ORDER BY 1",
      ["key", "typeof(key)", "length(value)", "substr(value, 1, 1)", "compression", "topic"]
    ),
    // JSON
    (
      "SELECT partition, offset, value ->> '$.{}' AS j FROM events WHERE json_valid(value) AND typeof(value) = 'text' AND value LIKE '{%' ORDER BY 1, 2",
      ["n", "user", "missing", "user.x"]
    ),
    (
      "SELECT {} FROM events WHERE value LIKE '{\"n\"%' ORDER BY partition, offset",
      [
        "json_extract(value, '$.n', '$.user')", "json_type(value, '$.n')", "json_set(value, '$.n', offset)", "json(value)",
        "value -> '$.n'", "json_remove(value, '$.user')", "json_array(value ->> '$.n', offset)",
        "json_object('o', offset, 'v', json(value))",
        "json_patch(value, '{\"n\":null}')", "json_insert(value, '$.z', hex(key))",
      ]
    ),
    (
      "SELECT json_group_array({}) FROM (SELECT * FROM events WHERE partition = 0 ORDER BY offset)",
      ["offset", "quote(key)", "time", "headers", "json(headers)", "json_array(partition, offset)"]
    ),
    (
      "SELECT e.offset, j.key, j.value, j.type FROM events e, {}(e.headers) j WHERE e.partition = 3 ORDER BY e.offset, j.id",
      ["json_each", "json_tree"]
    ),
    (
      "SELECT headers ->> '$[{}][0]' AS name, headers ->> '$[{}][1]' AS v, count(*) FROM events GROUP BY 1, 2 ORDER BY 1, 2",
      ["0", "1", "2", "#-1"]
    ),
    // two topics
    (
      "SELECT e.partition, e.offset, o.offset FROM events e {} JOIN other o ON e.offset = o.offset AND e.partition = o.partition ORDER BY 1, 2, 3",
      ["", "INNER", "LEFT", "RIGHT", "FULL", "CROSS"]
    ),
    (
      "SELECT e.key, count(*), sum(o.offset) FROM events e JOIN other o ON o.key IS e.key WHERE {} GROUP BY e.key ORDER BY 1",
      ["e.offset < 20", "o.partition = 1", "e.partition IN (0, 2)", "e.timestamp < o.timestamp", "e.value = o.value", "1"]
    ),
    (
      "SELECT offset, value FROM events e WHERE partition = 2 AND {} (SELECT 1 FROM other o WHERE o.offset = e.offset AND o.key IS e.key) ORDER BY offset",
      ["EXISTS", "NOT EXISTS"]
    ),
    (
      "SELECT offset FROM events WHERE partition < 2 {} SELECT offset FROM other ORDER BY 1",
      ["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]
    ),
    (
      "SELECT (SELECT {} FROM other o WHERE o.offset <= e.offset) AS x, e.offset FROM events e WHERE partition = 1 ORDER BY e.offset",
      ["count(*)", "max(timestamp)", "min(key)", "group_concat(DISTINCT partition)"]
    ),
    (
      "SELECT a.offset, b.offset FROM events a JOIN events b ON a.partition = 0 AND b.partition = {} AND b.timestamp BETWEEN a.timestamp AND a.timestamp + 5000 ORDER BY 1, 2",
      ["0", "1", "2", "3"]
    ),
    (
      "SELECT offset FROM events WHERE (partition, offset) IN (SELECT partition, offset FROM other WHERE {}) ORDER BY 1",
      ["offset < 10", "partition = 1", "key IS NOT NULL"]
    ),
    // windows
    (
      "SELECT partition, offset, {} OVER (PARTITION BY partition ORDER BY offset) AS w FROM events ORDER BY 1, 2",
      [
        "row_number()", "rank()", "lag(offset)", "lead(timestamp)", "sum(length(value))", "count(*)", "first_value(key)",
        "nth_value(offset, 2)", "ntile(3)", "percent_rank()", "cume_dist()", "max(timestamp)",
      ]
    ),
    (
      "SELECT partition, offset, sum(offset) OVER (ORDER BY timestamp, partition, offset {}) AS w FROM events ORDER BY timestamp, partition, offset",
      [
        "ROWS 2 PRECEDING", "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING", "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        "GROUPS 1 PRECEDING", "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW",
      ]
    ),
    (
      "SELECT * FROM (SELECT partition, offset, row_number() OVER (PARTITION BY key ORDER BY {}, partition, offset) AS n FROM events) WHERE n <= 2 ORDER BY 1, 2",
      ["offset", "offset DESC", "timestamp", "timestamp DESC", "length(value)"]
    ),
    (
      "SELECT offset, count(*) FILTER (WHERE {}) OVER () AS f FROM events WHERE partition = 0 ORDER BY offset",
      ["key = 'k1'", "value IS NULL", "offset > 10"]
    ),
    // recursion
    (
      "WITH RECURSIVE m(t) AS (SELECT 1714554000000 UNION ALL SELECT t + {0} FROM m WHERE t < 1714554000000 + 5 * {0}) SELECT t, (SELECT count(*) FROM events WHERE timestamp >= t AND timestamp < t + {0}) FROM m",
      ["1000", "30000", "60000", "120000", "3600000"]
    ),
    (
      "WITH RECURSIVE chain(o, d) AS (SELECT {}, 0 UNION SELECT e.offset, d + 1 FROM chain JOIN events e ON e.partition = 0 AND e.offset = o + 1 WHERE d < 12) SELECT * FROM chain",
      ["0", "5", "10", "100"]
    ),
    (
      "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i, e.value FROM n LEFT JOIN events e ON e.offset = i AND e.partition = 3 ORDER BY i",
      ["5", "20", "60"]
    ),
    // the other topic, and the order of time under filters that are not pushed down
    (
      "SELECT partition, offset, timestamp, key FROM other ORDER BY {}, partition, offset LIMIT 8",
      [
        "timestamp", "timestamp DESC", "offset DESC", "time", "time DESC", "key", "batch_offset DESC", "length(value)",
        "offset % 3",
      ]
    ),
    (
      "SELECT offset, timestamp FROM events WHERE {} ORDER BY timestamp DESC, partition, offset LIMIT 11",
      [
        "key = 'k1'", "key IS NULL", "value LIKE '%alice%'", "typeof(value) = 'blob'", "offset % 2 = 1", "partition = 0",
        "partition <> 0",
        "partition IN (1, 2)", "offset > 10", "timestamp < 1714554060000", "headers <> '[]'", "compression = 'zstd'",
        "producer_id = 77",
        "length(value) > 100", "1",
      ]
    ),
    (
      "SELECT offset, timestamp FROM events WHERE {} ORDER BY timestamp, offset DESC, partition LIMIT 5 OFFSET 3",
      [
        "key = 'k2'", "value IS NULL", "value LIKE '%1%'", "offset % 3 = 0", "partition = 2", "partition > 0", "offset < 30",
        "timestamp > 1714554060000", "headers = '[]'", "compression <> 'zstd'", "producer_id IS NULL", "leader_epoch = 3",
      ]
    ),
    (
      "SELECT {} AS v, count(*) FROM other GROUP BY v ORDER BY v",
      [
        "partition", "key", "offset % 4", "typeof(value)", "compression", "substr(time, 1, 16)", "producer_id",
        "length(headers) > 2",
      ]
    ),
    (
      "SELECT max({}), min({}), count(DISTINCT {}) FROM other",
      ["offset", "timestamp", "time", "key", "length(value)", "partition"]
    ),
    // order and limits
    (
      "SELECT partition, offset, timestamp FROM events ORDER BY {}, partition, offset LIMIT 13 OFFSET 4",
      [
        "timestamp", "timestamp DESC", "offset", "offset DESC", "time", "time DESC", "key", "key DESC", "length(value) DESC",
        "batch_offset",
        "producer_id", "leader_epoch, timestamp DESC", "compression, timestamp",
      ]
    ),
    (
      "SELECT {} FROM events",
      [
        "max(timestamp)", "min(timestamp)", "max(offset)", "min(offset)", "max(time)", "min(time)", "max(partition)",
        "count(timestamp)",
        "count(key)", "sum(partition)",
      ]
    ),
    (
      "SELECT {} FROM events WHERE partition = 1 AND offset > 7",
      ["max(timestamp)", "min(timestamp)", "max(offset)", "min(offset)", "max(time), min(key)", "count(*)"]
    ),
    (
      "SELECT partition, offset, producer_id, batch_offset FROM events WHERE {} ORDER BY partition, offset",
      [
        "producer_id = 77", "producer_id IS NULL", "producer_id > 76.5", "leader_epoch = 3", "leader_epoch < 3",
        "batch_offset = 12",
        "batch_offset BETWEEN 5 AND 20", "compression = 'gzip'", "compression <> 'none' AND producer_id = '77'",
        "batch_offset = offset",
        "producer_id IN (77, 78)", "producer_id IN (1, NULL)",
      ]
    ),
    (
      "SELECT partition, offset FROM events WHERE {} ORDER BY partition, offset",
      [
        "partition IN (0, 2)", "partition IN (0, '2', 9)", "partition NOT IN (1)", "offset IN (1, 5, 9, 13)",
        "offset IN (SELECT offset * 2 FROM other)",
        "timestamp IN (SELECT timestamp FROM events WHERE partition = 1)", "time IN (SELECT time FROM events WHERE offset < 9)",
        "partition IN (1, 3) AND offset IN (10, 11, 12) AND timestamp > 0", "partition = 1 OR (partition = 2 AND offset > 15)",
        "NOT (partition = 1 OR offset < 12)", "offset BETWEEN 5 AND 9 OR offset BETWEEN 20 AND 22",
        "partition > 0 AND partition < 3",
        "(partition, offset) > (1, 15)", "timestamp > (SELECT avg(timestamp) FROM events WHERE timestamp > 0)",
        "offset = (SELECT max(offset) FROM events)", "CASE WHEN partition = 0 THEN offset < 8 ELSE offset < 12 END",
      ]
    ),
  ]

  static let all = families.flatMap { family in
    family.variants.map { family.statement.replacing("{0}", with: $0).replacing("{}", with: $0) }
  }
}

@Suite("Three hundred statements answer as over plain tables")
struct StatementTests {
  @Test("there are as many as that")
  func count() { #expect(Set(Statements.all).count >= 300) }

  @Test("each gives the same rows in the same order", arguments: Array(stride(from: 0, to: Statements.all.count, by: 20)))
  func statements(from first: Int) throws {
    for sql in Statements.all[first..<min(first + 20, Statements.all.count)] {
      try DifferentialTests.world.compare(sql, isOrdered: true)
    }
  }
}
