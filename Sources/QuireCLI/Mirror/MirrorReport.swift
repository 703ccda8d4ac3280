internal import Export
internal import Model

/// How far a mirror has come, for the end of the command.
struct MirrorReport: Sendable {
  var partitions: [MirroredPartition]
  var groupCommits: Int
  var seconds: Double

  var isWhole: Bool { !partitions.contains { $0.isStopped } }

  var table: String {
    var table = TextTable([
      ("TOPIC", .left), ("PARTITION", .right), ("RECORDS", .right), ("SOURCE END", .right),
      ("COPIED TO", .right), ("SHIFT", .right), ("LOST", .right), ("STATE", .left),
    ])
    for each in partitions {
      table.row(
        each.partition.topic, "\(each.partition.partition)", "\(each.recordCount)", "\(each.sourceEnd)", "\(each.position)",
        "\(each.shift)", "\(each.lostOffsets)", each.stopReason ?? "ok")
    }
    return table.text
  }

  var json: JSON {
    .object([
      (
        "partitions",
        .array(
          partitions.map { each in
            .object([
              ("topic", .string(each.partition.topic)), ("partition", .number(each.partition.partition)),
              ("records", .number(each.recordCount)), ("bytes", .number(each.byteCount)),
              ("source_offset", .number(each.position)), ("target_offset", .number(each.position + each.shift)),
              ("source_end_offset", .number(each.sourceEnd)), ("lag", .number(each.lag)), ("lost", .number(each.lostOffsets)),
              ("stopped", .optional(each.stopReason)),
            ])
          })
      ), ("group_commits", .number(groupCommits)), ("seconds", .number("\((seconds * 10).rounded() / 10)")),
    ])
  }
}

extension Mirror {
  func report(seconds: Double) -> MirrorReport {
    MirrorReport(
      partitions: partitions.values.sorted { $0.partition < $1.partition }, groupCommits: groups.commitCount, seconds: seconds)
  }
}
