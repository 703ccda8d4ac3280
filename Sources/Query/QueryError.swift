/// Why a statement has no answer, or only part of one: rows that were written before it stand, and `end` was not written.
public struct QueryError: Error, Sendable {
  public enum Kind: Sendable, Hashable {
    /// SQL that is not understood, or fails on the data.
    case sql
    /// The statement does something else than read.
    case notPermitted
    /// A parameter is missing, unknown or malformed.
    case parameter
    /// A limit was hit.
    case limit(Limit)
    case cancelled
    /// Records could not be read: damaged, or gone.
    case history
    /// The reader of the rows is gone, or has no room.
    case output
    /// SQLite could not be set up, or ran out of memory.
    case unavailable
  }
  public enum Limit: Sendable, Hashable { case time, outputBytes, temporaryBytes, valueBytes, memory, statement, concurrency }

  public var kind: Kind
  public var message: String
  /// The byte of the SQL text at which SQLite stopped, where it knows one.
  public var position: Int?
  /// For `.output`: what the sink threw.
  public var cause: (any Error)?

  public init(_ kind: Kind, _ message: String, position: Int? = nil, cause: (any Error)? = nil) {
    self.kind = kind
    self.message = message
    self.position = position
    self.cause = cause
  }
}

extension QueryError: CustomStringConvertible {
  public var description: String { message }
}
