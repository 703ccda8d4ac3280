/// Which versions of each request are advertised and answered, and from which on they are flexible (KIP-482).
public enum ServedVersions {
  private struct Row {
    var advertised: ClosedRange<Int16>
    /// The first version with compact lengths and tagged fields; nil if there is none.
    var flexibleFrom: Int16?
  }

  private static func row(_ key: APIKey) -> Row {
    switch key {
    // 0 to 2 are offered and refused: librdkafka up to 2.11 looks for them before it compresses anything (KAFKA-18659).
    case .produce: Row(advertised: 0...11, flexibleFrom: 9)
    case .fetch: Row(advertised: 4...12, flexibleFrom: 12)
    case .listOffsets: Row(advertised: 1...10, flexibleFrom: 6)
    case .metadata: Row(advertised: 0...12, flexibleFrom: 9)
    case .offsetCommit: Row(advertised: 0...9, flexibleFrom: 8)
    case .offsetFetch: Row(advertised: 1...9, flexibleFrom: 6)
    case .findCoordinator: Row(advertised: 0...6, flexibleFrom: 3)
    case .joinGroup: Row(advertised: 0...9, flexibleFrom: 6)
    case .heartbeat: Row(advertised: 0...4, flexibleFrom: 4)
    case .leaveGroup: Row(advertised: 0...5, flexibleFrom: 4)
    case .syncGroup: Row(advertised: 0...5, flexibleFrom: 4)
    case .describeGroups: Row(advertised: 0...6, flexibleFrom: 5)
    case .listGroups: Row(advertised: 0...5, flexibleFrom: 3)
    case .apiVersions: Row(advertised: 0...4, flexibleFrom: 3)
    case .createTopics: Row(advertised: 0...7, flexibleFrom: 5)
    case .deleteTopics: Row(advertised: 1...6, flexibleFrom: 4)
    case .deleteRecords: Row(advertised: 0...2, flexibleFrom: 2)
    case .initProducerID: Row(advertised: 0...4, flexibleFrom: 2)
    case .offsetForLeaderEpoch: Row(advertised: 2...4, flexibleFrom: 4)
    case .describeConfigs: Row(advertised: 0...4, flexibleFrom: 4)
    case .alterConfigs: Row(advertised: 0...2, flexibleFrom: 2)
    case .describeLogDirs: Row(advertised: 1...4, flexibleFrom: 2)
    case .createPartitions: Row(advertised: 0...3, flexibleFrom: 2)
    case .deleteGroups: Row(advertised: 0...2, flexibleFrom: 2)
    case .electLeaders: Row(advertised: 0...2, flexibleFrom: 2)
    case .incrementalAlterConfigs: Row(advertised: 0...1, flexibleFrom: 1)
    case .alterPartitionReassignments: Row(advertised: 0...1, flexibleFrom: 0)
    case .listPartitionReassignments: Row(advertised: 0...0, flexibleFrom: 0)
    case .offsetDelete: Row(advertised: 0...0, flexibleFrom: nil)
    case .describeCluster: Row(advertised: 0...2, flexibleFrom: 0)
    case .describeTopicPartitions: Row(advertised: 0...0, flexibleFrom: 0)
    }
  }

  /// What an ApiVersions reply lists, in the order of the keys.
  public static let advertised: [(APIKey, ClosedRange<Int16>)] = APIKey.allCases.map { ($0, row($0).advertised) }

  /// What is advertised for `key`. Every key is served at present; nil is for one that this node does not offer.
  public static func range(_ key: APIKey) -> ClosedRange<Int16>? { row(key).advertised }

  /// The versions of `key` that are read and answered: what is advertised, except that Produce begins at 3,
  /// the first one that carries record batches.
  public static func accepted(_ key: APIKey) -> ClosedRange<Int16> {
    key == .produce ? 3...row(key).advertised.upperBound : row(key).advertised
  }

  /// Whether `version` of `key` has compact lengths and tagged fields. True for versions beyond the served ones too,
  /// so that the header of an ApiVersions request from a newer client can be read.
  public static func isFlexible(_ key: APIKey, _ version: Int16) -> Bool {
    guard let from = row(key).flexibleFrom else { return false }
    return version >= from
  }
}
