extension Limits {
  // Declared columns and their indexes
  /// Declared columns and indexes of one topic; with the columns that every topic has they stay below SQLite's mask of 63.
  public static let columnsPerTopicMax = 32
  /// Characters of a declared column's name, as in Postgres.
  public static let columnNameBytesMax = 63
  /// Bytes of one expression.
  public static let columnExpressionBytesMax = 2048
  /// Bytes of all declarations of one topic.
  public static let columnTextBytesMax = 32 << 10
  /// Largest text or blob within an expression. Not a query's own limit: an index and every query must agree on each value.
  public static let columnValueBytesMax = 128 << 20
}
