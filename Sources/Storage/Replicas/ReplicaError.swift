public import Pages

/// Why a follower did not take a page set. Readers see nothing of it.
public enum ReplicaError: Error, Sendable {
  /// The set does not go on from what is here: the leader needs `pageHashes` to know what to send.
  case diverged(PagesError)
  /// It is another log, or one that lost what was below the high watermark: somebody has to look.
  case refused(String)
  case storage(StorageError)
}

extension ReplicaError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .diverged(let error): "\(error)"
    case .refused(let words): words
    case .storage(let error): "\(error)"
    }
  }
}
