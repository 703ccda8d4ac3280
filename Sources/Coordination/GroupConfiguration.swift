/// The settings of the group coordinator, with Kafka's defaults.
public struct GroupConfiguration: Hashable, Sendable {
  /// How long the first rebalance of an empty group waits for more members (`group.initial.rebalance.delay.ms`).
  public var initialRebalanceDelayMilliseconds: Int64 = 3_000
  /// Shortest session timeout a member may ask for (`group.min.session.timeout.ms`).
  public var sessionTimeoutMillisecondsMin: Int32 = 6_000
  /// Longest session timeout a member may ask for (`group.max.session.timeout.ms`).
  public var sessionTimeoutMillisecondsMax: Int32 = 1_800_000
  /// Most members of one group (`group.max.size`).
  public var groupSizeMax: Int32 = .max
  /// How long committed offsets outlive the use of them (`offsets.retention.minutes`).
  public var offsetsRetentionMinutes: Int64 = 10_080
  /// How often expired offsets are looked for (`offsets.retention.check.interval.ms`).
  public var offsetsRetentionCheckIntervalMilliseconds: Int64 = 600_000
  /// Longest metadata string of a committed offset, in UTF-16 units as Kafka counts (`offset.metadata.max.bytes`).
  public var offsetMetadataLengthMax: Int = 4_096

  public init() {}
}
