public import Model

/// One partition between a leader and a follower, as one of them sees it.
public struct PartitionShipping: Hashable, Sendable {
  public enum State: Hashable, Sendable {
    /// Not followed yet, or not any more since the connection ended.
    case starting
    case streaming
    /// The copy is begun or repaired.
    case resyncing
    /// Tried again after a while.
    case failed(String)
  }

  public var partition: TopicPartition
  public var topicID: TopicID
  public var state: State
  /// What the follower has made durable.
  public var durable: CommitPosition?
  /// As the leader told it last.
  public var highWatermark: Offset?
  public var lag: ReplicaLag
  /// Bytes of page sets and files that have travelled.
  public var bytes: Int64
}

/// A follower as its leader sees it, less than a second or two ago.
public struct FollowerStatus: Hashable, Sendable {
  public var identity: PeerIdentity
  public var address: String
  /// In order of partitions.
  public var partitions: [PartitionShipping]
}

/// A leader as its follower sees it.
public struct LeaderStatus: Hashable, Sendable {
  public enum State: Hashable, Sendable {
    case connecting
    case connected(PeerIdentity)
    /// Why there is no connection.
    case waiting(PeerRefusal)
    case stopped
  }

  public var address: HostPort
  public var state: State
  /// Since when nothing was heard; 0 while connected. The lags of the partitions have this in them.
  public var silentMilliseconds: Int64
  /// In order of partitions.
  public var partitions: [PartitionShipping]
}
