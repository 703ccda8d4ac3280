internal import Export

/// The answer of `/v1/cluster` for people.
struct ClusterStatusText {
  private let answer: JSON

  init(_ answer: JSON) { self.answer = answer }

  /// - Parameter allReplicas: else those that are not in sync.
  func text(allReplicas: Bool) -> String {
    var text = "cluster     \(answer["cluster_id"]?.string ?? "")\n"
    text += "controller  \(answer["controller"]?.integer.map { "node \($0)" } ?? "none")\n"
    text +=
      "partitions  \(number("partitions")), \(number("under_replicated_partitions")) under-replicated, \(number("offline_partitions")) without a leader\n"
    if let promotion = answer["promotion"], let reason = promotion["reason"]?.string {
      text += "promotion   \(promotion["is_possible"] == .bool(true) ? "possible" : "not possible"): \(reason)\n"
    }
    for note in answer["notes"]?.array ?? [] { text += "note        \(note.string ?? "")\n" }
    text += "\n" + nodes
    let replicas = replicas(all: allReplicas)
    if !replicas.isEmpty { text += "\n" + replicas }
    return text
  }

  private func number(_ name: String) -> Int64 { answer[name]?.integer ?? 0 }

  private var nodes: String {
    let replicas = answer["replicas"]?.array ?? []
    var table = TextTable([
      ("NODE", .right), ("ROLE", .left), ("KAFKA", .left), ("PEER", .left), ("STATE", .left), ("LEADS", .right),
      ("FOLLOWS", .right), ("LAG COMMITS", .right), ("LAG BYTES", .right), ("LAG SECONDS", .right),
    ])
    for node in answer["nodes"]?.array ?? [] {
      let own = replicas.filter { $0["node"] == node["node"] }
      let follows = own.filter { $0["is_leader"] != .bool(true) }
      func sum(_ name: String) -> String {
        let known = follows.compactMap { $0[name]?.integer }
        return follows.isEmpty || known.isEmpty ? "-" : "\(known.reduce(0, +))"
      }
      let isThisNode = node["is_this_node"] == .bool(true)
      table.row(
        "\(node["node"]?.integer ?? 0)", node["role"]?.string ?? "", node["kafka"]?.string ?? "-", node["peer"]?.string ?? "-",
        isThisNode ? "this node" : node["is_connected"] == .bool(true) ? "connected" : "away", "\(own.count - follows.count)",
        "\(follows.count)", sum("lag_commits"), sum("lag_bytes"),
        Self.seconds(follows.compactMap { $0["lag_ms"]?.integer }.max()))
    }
    return table.text
  }

  private func replicas(all: Bool) -> String {
    let chosen = (answer["replicas"]?.array ?? []).filter { all || $0["is_in_sync"] != .bool(true) }
    if chosen.isEmpty { return "" }
    var table = TextTable([
      ("TOPIC", .left), ("PARTITION", .right), ("NODE", .right), ("EPOCH", .right), ("STATE", .left), ("IN SYNC", .left),
      ("LAG COMMITS", .right), ("LAG BYTES", .right), ("LAG SECONDS", .right),
    ])
    for replica in chosen {
      func count(_ name: String) -> String { replica[name]?.integer.map { "\($0)" } ?? "-" }
      table.row(
        replica["topic"]?.string ?? "", count("partition"), count("node"), count("leader_epoch"),
        replica["state"]?.string ?? "",
        replica["is_in_sync"] == .bool(true) ? "yes" : "no", count("lag_commits"), count("lag_bytes"),
        Self.seconds(replica["lag_ms"]?.integer))
    }
    return table.text
  }

  private static func seconds(_ milliseconds: Int64?) -> String {
    guard let milliseconds else { return "-" }
    return "\(milliseconds / 1000).\(milliseconds % 1000 / 100)"
  }
}
