public import Model

/// What a node knows of the one other node that it shares its records with, where no third one decides which of the two leads.
///
/// Durable in the node database: a node that starts is what it was.
public struct PairState: Hashable, Sendable {
  public enum Role: String, Sendable {
    /// It takes records; alone, or with a standby.
    case leader
    /// It keeps what a leader has, and takes nothing.
    case standby
    /// It led, and knows that the other one was promoted.
    case fenced
  }

  public var role: Role
  /// Of the pair: who was promoted last has the highest. Not that of any partition.
  public var epoch: LeaderEpoch
  /// A leader's standby; a standby's leader; of a fenced node, the new leader. Nil for a leader that is alone.
  public var peer: NodeID?
  /// Where the other one's peer port is, as far as it is known.
  public var peerAddress: HostPort?
  /// Where Kafka clients reach the other one; empty if that is not known.
  public var peerKafkaAddress: String
  /// Since when it is what it is, in milliseconds since 1970.
  public var sinceMilliseconds: Int64
  /// Of a standby: since its registration it had once all that its leader had acknowledged.
  public var wasComplete: Bool
  /// When the standby was taken in, by the leader's clock; a leader that had none meanwhile may have acknowledged what it lacks.
  public var registration: Int64
  /// Of a leader that was promoted: where its former leader may be, which has not been told.
  public var toFence: HostPort?
  /// Of a leader that was promoted: the address it followed.
  public var promotedOver: HostPort?

  /// A leader without a standby.
  public static let alone = PairState(
    role: .leader, epoch: .zero, peer: nil, peerAddress: nil, peerKafkaAddress: "", sinceMilliseconds: 0, wasComplete: false,
    registration: 0, toFence: nil, promotedOver: nil)

  /// The node that has to have what is acknowledged with acks=all.
  public var standby: NodeID? { role == .leader ? peer : nil }
}
