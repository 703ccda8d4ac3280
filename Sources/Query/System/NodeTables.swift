/// The system tables of a node and its queries; where no node runs, they say so.
enum NodeTables {
  static func tables(_ node: (any NodeFacts)?, _ queries: QueryRegistry?) -> [SystemTable] {
    func known(_ table: String) throws(HistoryError) -> any NodeFacts {
      guard let node else { throw HistoryError(.unavailable, "\(table) is known to a running node only, not to its files") }
      return node
    }
    return [
      SystemTable(
        "quire_nodes",
        [
          .init("node_id", .integer), .init("host", .text), .init("port", .integer), .init("rack", .text),
          .init("is_this_node", .integer),
        ]
      ) { (_) throws(HistoryError) in
        try known("quire_nodes").nodes().map {
          [
            .integer(Int64($0.id)), .text($0.host), .integer(Int64($0.port)), SQLValue($0.rack),
            .integer($0.isThisNode ? 1 : 0),
          ]
        }
      },
      SystemTable(
        "quire_replicas",
        [
          .init("topic", .text), .init("partition", .integer), .init("node_id", .integer), .init("leader_epoch", .integer),
          .init("is_leader", .integer), .init("is_in_sync", .integer), .init("state", .text), .init("lag_commits", .integer),
          .init("lag_bytes", .integer), .init("lag_seconds", .real),
        ]
      ) { (_) throws(HistoryError) in
        try known("quire_replicas").clusterFacts().replicas.map {
          [
            .text($0.topic), .integer(Int64($0.partition)), .integer(Int64($0.node)), .integer(Int64($0.leaderEpoch)),
            .integer($0.isLeader ? 1 : 0), .integer($0.isInSync ? 1 : 0), .text($0.state), SQLValue($0.lagCommits),
            SQLValue($0.lagBytes), $0.lagMilliseconds.map { .real(Double($0) / 1000) } ?? .null,
          ]
        }
      },
      SystemTable(
        "quire_cluster",
        [
          .init("node_id", .integer), .init("role", .text), .init("kafka", .text), .init("peer", .text), .init("rack", .text),
          .init("is_this_node", .integer), .init("is_controller", .integer), .init("is_connected", .integer),
        ]
      ) { (_) throws(HistoryError) in
        try known("quire_cluster").clusterFacts().nodes.map {
          [
            .integer(Int64($0.id)), .text($0.role), SQLValue($0.kafka), SQLValue($0.peer), SQLValue($0.rack),
            .integer($0.isThisNode ? 1 : 0), .integer($0.isController ? 1 : 0), .integer($0.isConnected ? 1 : 0),
          ]
        }
      },
      SystemTable(
        "quire_configs",
        [
          .init("resource_type", .text, isKey: true), .init("resource_name", .text, isKey: true), .init("name", .text),
          .init("value", .text), .init("source", .text),
        ]
      ) { (_) throws(HistoryError) in
        try known("quire_configs").configurations().map {
          [.text($0.resourceType), .text($0.resourceName), .text($0.name), .text($0.value), .text($0.source)]
        }
      },
      SystemTable(
        "quire_queries",
        [
          .init("query_id", .integer), .init("door", .text), .init("sql", .text), .init("started", .integer),
          .init("seconds", .real), .init("rows", .integer), .init("batches_read", .integer), .init("records_decoded", .integer),
          .init("output_bytes", .integer), .init("is_cancelled", .integer), .init("is_following", .integer),
        ]
      ) { (_) throws(HistoryError) in
        guard let queries else {
          throw HistoryError(.unavailable, "quire_queries is known to a running node only, not to its files")
        }
        return queries.running.map {
          [
            .integer($0.id), .text($0.door), .text($0.sql), .integer($0.startedMilliseconds), .real($0.seconds),
            .integer(Int64($0.rows)), .integer(Int64($0.batchesRead)), .integer(Int64($0.recordsDecoded)),
            .integer(Int64($0.outputBytes)), .integer($0.isCancelled ? 1 : 0), .integer($0.isFollowing ? 1 : 0),
          ]
        }
      },
    ]
  }
}
