extension Limits {
  // The Postgres door
  /// Bytes of one message of a client: a statement of the longest kind, or parameters of a few MiB. With all connections open and
  /// each in the middle of one, this is 400 MiB.
  public static let postgresMessageBytesMax = 4 << 20
  /// Bytes of a start-up packet: Postgres' own bound.
  public static let postgresStartupBytesMax = 10_000
  /// Bytes of messages of one connection that wait for the one being worked on; then its socket is not read.
  public static let postgresPendingBytesMax = 1 << 20
  /// Connections open at once (`quire.postgres.connections`): Postgres' own default.
  public static let postgresConnectionsMax = 100
  /// Prepared statements of one connection, and the bytes of their texts. Drivers keep up to some hundred.
  public static let postgresStatementsMax = 1000
  public static let postgresStatementBytesMax = 8 << 20
  /// Portals of one connection: each that has begun holds a cut of history and a page cache.
  public static let postgresPortalsMax = 32
  /// Cuts of history that all connections of a node hold together: statements that run, portals that have begun, transaction blocks.
  public static let postgresCutsMax = 256
  /// Bytes of rows after which a query gives its thread back until the client has taken them.
  public static let postgresSliceBytes = 256 << 10
  /// Depth of parentheses and brackets in a statement.
  public static let postgresNestingMax = 200
}
