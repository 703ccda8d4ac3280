internal import Model
internal import Storage

/// The system tables of consumer groups, of which a session sees one state.
final class GroupTables {
  private let take: () throws(HistoryError) -> [GroupFacts]
  private let storage: StorageTables
  private let now: () -> Int64
  private var taken: [GroupFacts]?

  init(
    groups: @escaping () throws(HistoryError) -> [GroupFacts], storage: StorageTables, now: @escaping () -> Int64
  ) {
    take = groups
    self.storage = storage
    self.now = now
  }

  private func groups(_ request: SystemRequest) throws(HistoryError) -> [GroupFacts] {
    let all: [GroupFacts]
    if let taken {
      all = taken
    } else {
      all = try take().sorted { $0.groupID < $1.groupID }
      taken = all
    }
    guard let id = request.text("group_id") else { return all }
    return all.filter { $0.groupID == id }
  }

  var tables: [SystemTable] {
    [
      SystemTable(
        "quire_groups",
        [
          .init("group_id", .text, isKey: true), .init("state", .text), .init("protocol_type", .text), .init("protocol", .text),
          .init("generation", .integer), .init("leader_id", .text), .init("members", .integer), .init("offsets", .integer),
          .init("coordinator", .integer),
        ]
      ) { [self] (request) throws(HistoryError) in
        try groups(request).map { group in
          [
            .text(group.groupID), SQLValue(group.state), .text(group.protocolType), .text(group.protocolName),
            .integer(Int64(group.generationID)), SQLValue(group.leaderID), .integer(Int64(group.members.count)),
            .integer(Int64(group.offsets.count)), group.coordinator.map { .integer(Int64($0.rawValue)) } ?? .null,
          ]
        }
      },
      SystemTable(
        "quire_members",
        [
          .init("group_id", .text, isKey: true), .init("member_id", .text), .init("instance_id", .text),
          .init("client_id", .text), .init("client_host", .text), .init("session_timeout_ms", .integer),
          .init("rebalance_timeout_ms", .integer), .init("partitions", .text),
        ]
      ) { [self] (request) throws(HistoryError) in
        try groups(request).flatMap { group in
          group.members.map { member in
            [
              .text(group.groupID), .text(member.memberID), SQLValue(member.instanceID), .text(member.clientID),
              .text(member.clientHost), .integer(Int64(member.sessionTimeoutMilliseconds)),
              .integer(Int64(member.rebalanceTimeoutMilliseconds)), SQLValue(member.partitions.map(Self.json)),
            ]
          }
        }
      },
      SystemTable(
        "quire_offsets",
        [
          .init("group_id", .text, isKey: true), .init("topic", .text, isKey: true), .init("partition", .integer),
          .init("committed_offset", .integer), .init("leader_epoch", .integer), .init("metadata", .text),
          .init("commit_timestamp", .integer),
        ]
      ) { [self] (request) throws(HistoryError) in
        try offsets(request).map { group, offset in
          [
            .text(group.groupID), .text(offset.partition.topic), .integer(Int64(offset.partition.partition)),
            .integer(offset.offset), offset.leaderEpoch < 0 ? .null : .integer(Int64(offset.leaderEpoch)),
            .text(offset.metadata), .integer(offset.commitTimestamp),
          ]
        }
      },
      SystemTable(
        "quire_lag",
        [
          .init("group_id", .text, isKey: true), .init("topic", .text, isKey: true), .init("partition", .integer),
          .init("committed_offset", .integer), .init("high_watermark", .integer), .init("lag", .integer),
          .init("lag_seconds", .real), .init("member_id", .text),
        ], all: lag),
    ]
  }

  private func offsets(_ request: SystemRequest) throws(HistoryError) -> [(GroupFacts, GroupFacts.CommittedOffset)] {
    let topic = request.text("topic")
    return try groups(request).flatMap { group in
      group.offsets.filter { topic == nil || $0.partition.topic == topic }.sorted { $0.partition < $1.partition }
        .map { (group, $0) }
    }
  }

  /// Partitions as headers are: `[["plays",0],["plays",3]]`.
  private static func json(_ partitions: [TopicPartition]) -> String {
    "[" + partitions.sorted().map { "[\(JSONText.string($0.topic)),\($0.partition)]" }.joined(separator: ",") + "]"
  }

  /// Which member of the group reads a partition.
  private static func readers(_ group: GroupFacts) -> [TopicPartition: String] {
    var readers: [TopicPartition: String] = [:]
    for member in group.members {
      for partition in member.partitions ?? [] { readers[partition] = member.memberID }
    }
    return readers
  }

  private func lag(_ request: SystemRequest) throws(HistoryError) -> [[SQLValue]] {
    let offsets = try offsets(request)
    // One topic of one cut, or all of one cut.
    var topics = SystemRequest(control: request.control)
    topics.equals["topic"] = request.equals["topic"]
    let (snapshot, partitions) = try storage.partitions(topics)
    let history = SnapshotHistory(snapshot)
    let known = Dictionary(uniqueKeysWithValues: partitions.map { ($0.topicPartition, $0) })
    let wantsSeconds = request.columns & 1 << 6 != 0
    let now = now()
    var readers: [String: [TopicPartition: String]] = [:]
    var rows: [[SQLValue]] = []
    for (group, offset) in offsets {
      try request.control.check()
      if readers[group.groupID] == nil { readers[group.groupID] = Self.readers(group) }
      var row: [SQLValue] = [
        .text(group.groupID), .text(offset.partition.topic), .integer(Int64(offset.partition.partition)),
        .integer(offset.offset),
      ]
      if let partition = known[offset.partition], partition.failure == nil {
        let end = partition.highWatermark.rawValue
        // What retention has removed cannot be read any more, and is no lag.
        let next = max(offset.offset, partition.logStartOffset.rawValue)
        var seconds = SQLValue.real(0)
        if next < end, wantsSeconds {
          let time = try firstTimestamp(of: partition, in: snapshot, history, from: next, request.control)
          seconds = time.map { $0 < 0 ? .null : .real(max(0, Double(now - $0) / 1000)) } ?? .null
        }
        row += [.integer(end), .integer(max(0, end - next)), seconds]
      } else {
        row += [.null, .null, .null]
      }
      rows.append(row + [SQLValue(readers[group.groupID]?[offset.partition])])
    }
    return rows
  }

  /// The time of the first record at or behind `offset`.
  private func firstTimestamp(
    of partition: PartitionHistory, in snapshot: HistorySnapshot, _ history: SnapshotHistory, from offset: Int64,
    _ control: ScanControl
  ) throws(HistoryError) -> Int64? {
    guard let index = snapshot.partitions.firstIndex(where: { $0.topicPartition == partition.topicPartition }) else {
      return nil
    }
    let request = PartitionScan.Request(
      offsets: Interval(low: offset, high: .max), timestamps: .all, isDescending: false, columns: TopicColumn.timestamp.bit)
    let scan = PartitionScan(index, of: history, request: request, context: ScanContext(control: control), staysOpen: false)
    return try scan.next() ? scan.timestamp : nil
  }
}
