import Model
import SQLite

/// The table `pair` of the node database. Every function runs inside a transaction of its caller.
enum PairTable {
  static func read(_ connection: Connection) throws(SQLiteError) -> PairState {
    let row = try connection.prepare(
      """
      SELECT role, epoch, peer_node, peer_address, peer_kafka_address, since_ms, was_complete, registration, to_fence,
        promoted_over FROM pair
      """)
    guard try row.step() else { return .alone }
    guard let role = PairState.Role(rawValue: row.text(at: 0) ?? "") else {
      throw SQLiteError(code: 11, message: "the node database is damaged: the pair has no role")  // SQLITE_CORRUPT
    }
    return PairState(
      role: role, epoch: LeaderEpoch(Int32(truncatingIfNeeded: row.integer(at: 1))),
      peer: row.isNull(at: 2) ? nil : NodeID(Int32(truncatingIfNeeded: row.integer(at: 2))),
      peerAddress: HostPort(row.text(at: 3) ?? ""), peerKafkaAddress: row.text(at: 4) ?? "",
      sinceMilliseconds: row.integer(at: 5), wasComplete: row.integer(at: 6) == 1, registration: row.integer(at: 7),
      toFence: HostPort(row.text(at: 8) ?? ""), promotedOver: HostPort(row.text(at: 9) ?? ""))
  }

  static func write(_ state: PairState, _ connection: Connection) throws(SQLiteError) {
    let row = try connection.prepare("INSERT OR REPLACE INTO pair VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
    row.bind(state.role.rawValue, at: 1)
    row.bind(Int64(state.epoch.rawValue), at: 2)
    if let peer = state.peer { row.bind(Int64(peer.rawValue), at: 3) } else { row.bindNull(at: 3) }
    row.bind(state.peerAddress?.description ?? "", at: 4)
    row.bind(state.peerKafkaAddress, at: 5)
    row.bind(state.sinceMilliseconds, at: 6)
    row.bind(Int64(state.wasComplete ? 1 : 0), at: 7)
    row.bind(state.registration, at: 8)
    row.bind(state.toFence?.description ?? "", at: 9)
    row.bind(state.promotedOver?.description ?? "", at: 10)
    try row.run()
  }

  static func imageVersion(_ connection: Connection) throws(SQLiteError) -> Int64 {
    try connection.integer("SELECT version FROM image_version") ?? 0
  }

  static func setImageVersion(_ version: Int64, _ connection: Connection) throws(SQLiteError) {
    try connection.execute("UPDATE image_version SET version = \(version)")
  }
}
