import Testing

@testable import Gateway

/// What Postgres' spellings become, token by token; blanks between tokens do not count.
@Suite struct SQLTranslatorTests {
  private func translated(_ sql: String) throws -> String {
    let statements = try PostgresScript.parse(sql, columnType: PostgresCatalog.columnType)
    guard statements.count == 1, case .query(let text)? = statements.first else { return "not one query" }
    return text.translated.sql
  }

  /// Without blanks, except within quotes, which the examples here do not have.
  private func bare(_ sql: String) -> String { sql.filter { $0 != " " } }

  @Test(
    "spellings that tools emit",
    arguments: [
      ("select 'a'::text", "select CAST('a' AS TEXT)"),
      ("SELECT  key ::  pg_catalog . text FROM t", "select CAST(key AS TEXT) FROM t"),
      ("select f(x)::int8::text", "select CAST(pg_int8(f(x)) AS TEXT)"),
      ("select (a)::double   precision", "select pg_float8((a))"),
      ("select case when a then b end::varchar(3)", "select substr(CAST(case when a then b end AS TEXT), 1, 3)"),
      ("select $2 + $1::int", "select ?2 + pg_int4(?1)"),
      ("select cast(a as integer), cast(a as timestamp with time zone)", "select CAST(a AS INTEGER), pg_timestamptz(a)"),
      ("select * from public.t where t.a = any(array[1, 2])", "select * from t where t.a in (1, 2)"),
      ("select a = any ( $1 )", "select a in (select value from json_each(pg_array_json(?1)))"),
      ("select a <> all (select b from t)", "select a not in (select b from t)"),
      ("select a ~ 'x', a !~* 'y'", "select a regexp 'x', a not regexp '(?i)' || 'y'"),
      ("select a operator(pg_catalog.~) '^x$' collate pg_catalog.default", "select a regexp '^x$'"),
      ("select a ilike 'x%' limit all", "select a like 'x%' limit -1"),
      ("select a like 'x\\_'", "select a like 'x\\_' escape '\\'"),
      ("select a from t offset 5", "select a from t limit -1 offset 5"),
      ("select offset from t order by offset offset 2 limit 3", "select offset from t order by offset limit 3 offset 2"),
      ("select a from t fetch first 7 rows only", "select a from t limit 7"),
      ("select x[1], array[1,'b']", "select pg_subscript(x, 1), pg_array(1, 'b')"),
      ("select extract(epoch from time)", "select date_part('epoch', time)"),
      ("select time - interval '1 hour'", "select pg_add_interval(time, -1, '1 hour')"),
      ("select now() + $1, key - $2", "select pg_add_interval(now(), 1, ?1), key - ?2"),
      (
        "select cast(a as timestamptz) + $1::interval, max(time) - 2 * interval '1 day', now() + interval '1 h' * 3",
        "select pg_add_interval(pg_timestamptz(a), 1, ?1), pg_add_interval(max(time), -1, pg_scaled_interval('1 day', 2)), pg_add_interval(now(), 1, pg_scaled_interval('1 h', 3))"
      ),
      ("select time - a, offset - 1, -time", "select pg_number(time) - a, offset - 1, -time"),
      (
        "select 1 from t group by key having max(t.time) > '2024-05-01' and coalesce(min(time), now()) < $1",
        "select 1 from t group by key having max(t.time) > pg_time('2024-05-01') and coalesce(min(time), now()) < pg_time(?1)"
      ),
      ("select time >= '2024-05-01'", "select time >= pg_time('2024-05-01')"),
      ("select '2024-05-01' < t.time", "select pg_time('2024-05-01') < t.time"),
      ("select time between 'a' and 'b' and key = 'c'", "select time between pg_time('a') and pg_time('b') and key = 'c'"),
      ("select substring(a from 2 for 3), position('x' in a)", "select substr(a, 2, 3), instr(a, 'x')"),
      ("select current_schema, now()", "select current_schema(), now()"),
      ("select relname from pg_catalog.pg_class c", "select relname from pg_class c"),
      (
        "select * from information_schema.tables where table_name = 'x'",
        "select * from \"information_schema.tables\" as \"tables\" where table_name = 'x'"
      ),
      ("select s from generate_series(1, 2) s", "select \"s\".value as \"s\" from generate_series(1, 2) as \"s\""),
      (
        "select a from (values (1, 2)) as t(a, \"b c\")",
        "select a from (with \"pg@columns\"(\"a\", \"b c\") as (values (1, 2)) select * from \"pg@columns\") as \"t\""
      ),
      (
        "select u.n from t join (select count(*) from t) u(n) on true",
        "select u.n from t join (with \"pg@columns\"(\"n\") as (select count(*) as \"count\" from t) select * from \"pg@columns\") as \"u\" on true"
      ),
      ("select E'a\\tb\\'', $q$it's$q$", "select 'a\tb''', 'it''s'"),
      ("select A, \"B c\" -- comment ' \n from /* ' /* */ */ t", "select a, \"B c\" from t"),
      ("table t", "select * from t"),
    ])
  func spellings(postgres: String, sqlite: String) throws {
    #expect(bare(try translated(postgres)).lowercased() == bare(sqlite).lowercased())
  }

  @Test(
    "what SQLite has itself comes out as it went in",
    arguments: [
      "SELECT value ->> '$.user' AS u, count ( * ) FILTER (WHERE key IS NOT NULL) FROM t GROUP BY 1 HAVING sum(x) > 1.5e3",
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n",
      "SELECT row_number() OVER (PARTITION BY partition ORDER BY offset DESC) FROM t WINDOW w AS (ORDER BY key)",
      "SELECT X'00ff', 'it''s', -1, a.\"b\" FROM t AS a LEFT JOIN u USING (key) WHERE a.key IN ('x', 'y') LIMIT 3 OFFSET 1",
      "SELECT CASE key WHEN 'a' THEN 1 ELSE 2 END, json_extract(value, '$[0]') FROM t, json_each(value) j WHERE j.key GLOB 'x*'",
    ])
  func unchanged(sql: String) throws {
    #expect(bare(try translated(sql)).lowercased() == bare(sql).lowercased())
  }

  @Test(
    "an error in the text is told with its place",
    arguments: [
      ("select 'x", 8), ("select (1", 10), ("select ä, a::nope", 14), ("selec 1", 1),
      ("select ?", 8), ("select value ? 'a'", 14), ("select ä, ?1", 11),
      ("select 2 * interval '1 day'", 12), ("select a - '1 day'::interval / 2", 30), ("select interval '1 day' + time", 25),
      ("select 2 * '1 day'::interval", 19),
      ("select distinct on (a) a, b from t order by a", 8), ("select 1 from unnest(x) with ordinality as u(e, n)", 25),
      ("select 1 from (select 1) as t(a int)", 30),
    ])
  func errors(sql: String, position: Int) {
    #expect(throws: PostgresError.self) { try translated(sql) }
    do { _ = try translated(sql) } catch { #expect((error as? PostgresError)?.position == position, "\(error)") }
  }

  @Test("a place in SQLite's text is a place in the client's")
  func places() throws {
    let sql = "select key::text, nope from t"
    guard case .query(let text)? = try PostgresScript.parse(sql, columnType: { _ in nil }).first else { return }
    let inSQLite = try #require(text.translated.sql.firstRange(of: "nope")).lowerBound.utf16Offset(in: text.translated.sql)
    #expect(text.translated.source(of: inSQLite) == 18)
  }

  @Test("casts and comparisons tell the types of parameters")
  func parameters() throws {
    let sql = "select $1::bytea from t where offset > $2 and time <= $3 and key = $4 and partition = any($5) limit $6"
    guard case .query(let text)? = try PostgresScript.parse(sql, columnType: PostgresCatalog.columnType).first else { return }
    #expect(text.translated.parameterTypes == [1: .bytea, 2: .int8, 3: .timestamptz, 4: .text, 5: .int8Array, 6: .int8])
  }

  @Test("items of a select list have the names and types that Postgres gives them")
  func items() throws {
    let sql = """
      select count(*), key::text, 1, 'x' as a, lower(key) b, cast(x as float8), key || 'x', a = 1, max(time), case when 1 then 2 end, t.*
      from t
      """
    guard case .query(let text)? = try PostgresScript.parse(sql, columnType: { _ in nil }).first else { return }
    let items = try #require(text.translated.items)
    #expect(items.map(\.name) == ["count", "key", "?column?", "a", "b", "x", "?column?", "?column?", "max", "case", nil])
    #expect(items.map(\.type) == [.int8, .text, .int8, .text, .text, .float8, .text, .bool, nil, nil, nil])
    #expect(items.last?.isStar == true)
  }

  @Test("statements are told apart by semicolons outside of quotes, and by what they do")
  func scripts() throws {
    let script =
      "BEGIN; select ';' ; ; set a.b = 'x;'; show \"Time Zone\"; copy t (a) to stdout csv; fetch forward 5 from c; commit"
    let statements = try PostgresScript.parse(script, columnType: { _ in nil })
    #expect(statements.count == 7)
    guard case .copyOut(let text, let format) = statements[4], case .fetch("c", 5, isMove: false) = statements[5] else {
      Issue.record("\(statements)")
      return
    }
    #expect(bare(text.translated.sql) == "selectafromt" || bare(text.translated.sql).lowercased() == "selectafromt")
    #expect(format.isCSV)
    #expect(throws: PostgresError(.readOnlyTransaction, "cannot execute INSERT in a read-only transaction", position: 1)) {
      try PostgresScript.parse("insert into t values (1)", columnType: { _ in nil })
    }
  }
}
