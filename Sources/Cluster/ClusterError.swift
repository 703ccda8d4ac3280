public import Model

/// Why the cluster refused a change, or could not make it. Unless the message says otherwise, nothing was changed.
public struct ClusterError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What a Kafka client is answered.
  public var errorCode: ErrorCode
  /// One sentence for a person.
  public var message: String

  public init(_ errorCode: ErrorCode, _ message: String) {
    self.errorCode = errorCode
    self.message = message
  }

  public var description: String { message }
}
