/// Why etcd did not do what it was asked.
enum EtcdError: Error, Hashable, Sendable, CustomStringConvertible {
  /// No endpoint answered in time, or none has a leader. Nothing was changed.
  case unreachable(String)
  /// The connection ended, or time ran out, after a change was sent: it may have been made, or still be made.
  case outcomeUnknown(String)
  /// The revisions asked for are no longer kept: what there is now has to be read whole.
  case compacted
  /// The lease has run out, or never was.
  case leaseGone
  /// etcd refuses, with gRPC's code.
  case refused(code: Int, message: String)
  /// The answer is not one.
  case unreadable(String)

  var description: String {
    switch self {
    case .unreachable(let why): "etcd cannot be reached: \(why)"
    case .outcomeUnknown(let why): "etcd did not say whether the change was made: \(why)"
    case .compacted: "etcd no longer keeps the changes asked for"
    case .leaseGone: "the lease has run out"
    case .refused(let code, let message): "etcd refuses (\(code)): \(message)"
    case .unreadable(let what): "etcd's answer cannot be read: \(what)"
    }
  }
}
