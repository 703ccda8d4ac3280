internal import Coordination
internal import Model
internal import SQLite

/// What a database of the coordinator holds, read by its owner or beside it.
enum CoordinatorTables {
  /// Every group of the shard, with its members and offsets.
  static func load(_ connection: Connection) throws(SQLiteError) -> [StoredGroup] {
    var groups: [String: StoredGroup] = [:]
    try loadGroups(connection, into: &groups)
    try loadMembers(connection, into: &groups)
    try loadOffsets(connection, into: &groups)
    return groups.values.sorted { $0.groupID < $1.groupID }
  }

  private static func loadGroups(_ connection: Connection, into groups: inout [String: StoredGroup]) throws(SQLiteError) {
    let rows = try connection.prepare("SELECT * FROM consumer_group")
    while try rows.step() {
      let id = rows.text(at: 0) ?? ""
      let snapshot = GroupSnapshot(
        protocolType: rows.text(at: 1), protocolName: rows.text(at: 2), generationID: Int32(clamping: rows.integer(at: 3)),
        leaderID: rows.text(at: 4), stateTimestamp: rows.integer(at: 5), members: [])
      groups[id] = StoredGroup(groupID: id, snapshot: snapshot, offsets: [:])
    }
  }

  private static func loadMembers(_ connection: Connection, into groups: inout [String: StoredGroup]) throws(SQLiteError) {
    var protocols: [String: [Int64: [GroupProtocol]]] = [:]
    let offered = try connection.prepare(
      """
      SELECT group_id, member_position, name, metadata FROM group_member_protocol
      ORDER BY group_id, member_position, position
      """)
    while try offered.step() {
      let entry = GroupProtocol(name: offered.text(at: 2) ?? "", metadata: offered.blob(at: 3))
      protocols[offered.text(at: 0) ?? "", default: [:]][offered.integer(at: 1), default: []].append(entry)
    }
    let rows = try connection.prepare("SELECT * FROM group_member ORDER BY group_id, position")
    while try rows.step() {
      let id = rows.text(at: 0) ?? ""
      let member = GroupSnapshot.Member(
        identity: MemberIdentity(memberID: rows.text(at: 2) ?? "", instanceID: rows.text(at: 3)),
        clientID: rows.text(at: 4) ?? "", clientHost: rows.text(at: 5) ?? "",
        sessionTimeoutMilliseconds: Int32(clamping: rows.integer(at: 6)),
        rebalanceTimeoutMilliseconds: Int32(clamping: rows.integer(at: 7)),
        protocols: protocols[id]?[rows.integer(at: 1)] ?? [], assignment: rows.blob(at: 8))
      groups[id]?.snapshot?.members.append(member)
    }
  }

  private static func loadOffsets(_ connection: Connection, into groups: inout [String: StoredGroup]) throws(SQLiteError) {
    let rows = try connection.prepare("SELECT * FROM committed_offset")
    while try rows.step() {
      let id = rows.text(at: 0) ?? ""
      let partition = TopicPartition(topic: rows.text(at: 1) ?? "", partition: Int32(clamping: rows.integer(at: 2)))
      let offset = CommittedOffset(
        offset: rows.integer(at: 3), leaderEpoch: Int32(clamping: rows.integer(at: 4)), metadata: rows.text(at: 5) ?? "",
        commitTimestamp: rows.integer(at: 6), expireTimestamp: rows.isNull(at: 7) ? nil : rows.integer(at: 7))
      groups[id, default: StoredGroup(groupID: id, snapshot: nil, offsets: [:])].offsets[partition] = offset
    }
  }
}
