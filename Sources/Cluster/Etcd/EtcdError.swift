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
  /// Nothing is under this prefix.
  case noCluster(String)
  /// The answer is not one.
  case unreadable(String)

  /// Another try will be answered likewise: the name or the password is wrong, the user may not do it, or the prefix is not the cluster's.
  var isLasting: Bool {
    switch self {
    // INVALID_ARGUMENT, PERMISSION_DENIED, FAILED_PRECONDITION, UNAUTHENTICATED
    case .refused(let code, _): [3, 7, 9, 16].contains(code)
    case .noCluster: true
    default: false
    }
  }

  var description: String {
    switch self {
    case .unreachable(let why): "etcd cannot be reached: \(why)"
    case .outcomeUnknown(let why): "etcd did not say whether the change was made: \(why)"
    case .compacted: "etcd no longer keeps the changes asked for"
    case .leaseGone: "the lease has run out"
    case .refused(let code, let message): "etcd refuses (\(code)): \(message)"
    case .noCluster(let prefix): "there is no cluster under \(prefix)"
    case .unreadable(let what): "etcd's answer cannot be read: \(what)"
    }
  }
}
