/// Where a classic group stands. The raw values are what DescribeGroups and ListGroups show.
public enum GroupState: String, Hashable, Sendable, CaseIterable {
  /// No members; committed offsets may be there.
  case empty = "Empty"
  /// Members are asked to join again: heartbeats answer REBALANCE_IN_PROGRESS, joins wait.
  case preparingRebalance = "PreparingRebalance"
  /// Every member knows the generation and waits for the leader's assignment.
  case completingRebalance = "CompletingRebalance"
  /// Every member has, or can ask for, its assignment.
  case stable = "Stable"
  /// The group does not exist: it was never used, or it has been deleted. Nothing is kept of it.
  case dead = "Dead"
}
