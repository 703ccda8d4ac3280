extension Limits {
  // SQL. Each of these is a default; a limit that is hit ends the query with an error, never with fewer rows.
  /// How long one statement may run.
  public static let querySeconds = 300
  /// Bytes one statement may answer with.
  public static let queryOutputBytes = 8 << 30
  /// Bytes one statement may have in temporary files (sorting, DISTINCT, materialised subqueries).
  public static let queryTemporaryBytes = 4 << 30
  /// Page cache of one query's connection. SQLite gives each sort about as much, and spills the rest; what does not fit a processor's
  /// cache sorts slower (8 MiB: a twelfth more time for a GROUP BY over 1 M records of 200 bytes, 64 MiB a third).
  public static let queryCacheBytes = 2 << 20
  /// Memory of one query inside SQLite: page caches and sorts, values under way, parsed JSON, the compiled statement. Eight of the largest
  /// values, which functions hold several of. Rows that are ordered by time, and medians, have bounds of their own.
  public static let queryMemoryBytes = 256 << 20
  /// Largest text or blob in SQL: eight times Kafka's `max.message.bytes` default and room for JSON made of many records.
  public static let queryValueBytes = 32 << 20
  /// Bytes of one record of a compressed batch that a statement or an index reads: a value, its key and its headers.
  public static let queryRecordBytes = 40 << 20
  /// Bytes of SQL text; deep nesting costs stack and compile time, so it is bounded with it.
  public static let querySQLBytes = 1 << 20
  /// Bytes of one line of statements from a pipe or a file, which may have several.
  public static let scriptLineBytes = 16 << 20
  public static let queryColumns = 500
  public static let queryExpressionDepth = 200
  public static let queryCompoundSelects = 100
  /// Instructions of one compiled statement: a page of SQL has hundreds.
  public static let queryInstructions = 250_000
  public static let queryFunctionArguments = 100
  /// LIKE takes time proportional to pattern times text, and cannot be stopped within one comparison.
  public static let queryLikePatternBytes = 500
  public static let queryParameters = 1000

  /// Statements at once that wait for new rows, each with a thread and a SQLite connection of its own.
  public static let queryFollowersMax = 32
  /// How long a client over HTTP may take nothing of what waits for it. Somebody who reads in a pager may take his time; the thread that
  /// waits for him is one of few.
  public static let queryStallMilliseconds = 300_000
}
