internal import Coordination
internal import Model
internal import SQLite

/// What changes groups and offsets in a shard's tables, within the transaction that is open.
struct CoordinatorStatements {
  private let connection: Connection
  private let putOffset: Statement
  private let deleteOffset: Statement

  init(_ connection: Connection) throws(SQLiteError) {
    self.connection = connection
    putOffset = try connection.prepare(
      "INSERT OR REPLACE INTO committed_offset VALUES (?, ?, ?, ?, ?, ?, ?, ?)", isPersistent: true)
    deleteOffset = try connection.prepare(
      "DELETE FROM committed_offset WHERE group_id = ? AND topic = ? AND partition = ?", isPersistent: true)
  }

  func apply(_ changes: [GroupChange], to groupID: String) throws(SQLiteError) {
    for change in changes { try apply(change, to: groupID) }
  }

  private func apply(_ change: GroupChange, to groupID: String) throws(SQLiteError) {
    switch change {
    case .groupPut(let snapshot):
      try deleteGroup(groupID)
      try insert(snapshot, groupID)
    case .groupDeleted:
      try deleteGroup(groupID)
      try run("DELETE FROM committed_offset WHERE group_id = ?", groupID)
    case .offsetCommitted(let partition, let offset):
      putOffset.bind(groupID, at: 1)
      putOffset.bind(partition.topic, at: 2)
      putOffset.bind(Int64(partition.partition), at: 3)
      putOffset.bind(offset.offset, at: 4)
      putOffset.bind(Int64(offset.leaderEpoch), at: 5)
      putOffset.bind(offset.metadata, at: 6)
      putOffset.bind(offset.commitTimestamp, at: 7)
      if let expire = offset.expireTimestamp { putOffset.bind(expire, at: 8) } else { putOffset.bindNull(at: 8) }
      try putOffset.run()
    case .offsetDeleted(let partition):
      deleteOffset.bind(groupID, at: 1)
      deleteOffset.bind(partition.topic, at: 2)
      deleteOffset.bind(Int64(partition.partition), at: 3)
      try deleteOffset.run()
    }
  }

  private func deleteGroup(_ groupID: String) throws(SQLiteError) {
    for table in ["consumer_group", "group_member", "group_member_protocol"] {
      try run("DELETE FROM \(table) WHERE group_id = ?", groupID)
    }
  }

  private func run(_ sql: String, _ groupID: String) throws(SQLiteError) {
    let statement = try connection.prepare(sql)
    statement.bind(groupID, at: 1)
    try statement.run()
  }

  private func insert(_ group: GroupSnapshot, _ groupID: String) throws(SQLiteError) {
    let put = try connection.prepare("INSERT INTO consumer_group VALUES (?, ?, ?, ?, ?, ?)")
    put.bind(groupID, at: 1)
    put.bind(group.protocolType, at: 2)
    put.bind(group.protocolName, at: 3)
    put.bind(Int64(group.generationID), at: 4)
    put.bind(group.leaderID, at: 5)
    put.bind(group.stateTimestamp, at: 6)
    try put.run()
    let putMember = try connection.prepare("INSERT INTO group_member VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
    let putProtocol = try connection.prepare("INSERT INTO group_member_protocol VALUES (?, ?, ?, ?, ?)")
    for (position, member) in group.members.enumerated() {
      putMember.bind(groupID, at: 1)
      putMember.bind(Int64(position), at: 2)
      putMember.bind(member.identity.memberID, at: 3)
      putMember.bind(member.identity.instanceID, at: 4)
      putMember.bind(member.clientID, at: 5)
      putMember.bind(member.clientHost, at: 6)
      putMember.bind(Int64(member.sessionTimeoutMilliseconds), at: 7)
      putMember.bind(Int64(member.rebalanceTimeoutMilliseconds), at: 8)
      putMember.bind(member.assignment, at: 9)
      try putMember.run()
      for (rank, offered) in member.protocols.enumerated() {
        putProtocol.bind(groupID, at: 1)
        putProtocol.bind(Int64(position), at: 2)
        putProtocol.bind(Int64(rank), at: 3)
        putProtocol.bind(offered.name, at: 4)
        putProtocol.bind(offered.metadata, at: 5)
        try putProtocol.run()
      }
    }
  }
}
