extension ConfigurationKey {
  /// Every topic configuration there is, in the order they are described.
  public static let topicKeys: [ConfigurationKey] = [
    ConfigurationKey(
      name: "cleanup.policy", type: .list(of: ["delete"]), defaultValue: "delete",
      documentation: "What happens to old records; only `delete`.", nodeKey: "log.cleanup.policy"),
    ConfigurationKey(
      name: "compression.type", type: .string(oneOf: CompressionPolicy.allCases.map(\.rawValue)),
      defaultValue: defaults.compression.rawValue,
      documentation: "The codec batches are stored with; `producer` keeps the one they were sent with.",
      nodeKey: "compression.type"),
    ConfigurationKey(
      name: "max.message.bytes", type: .int(0...Int64(Int32.max)), defaultValue: String(defaults.maxMessageBytes),
      documentation: "The largest record batch accepted, in bytes, as stored.", nodeKey: "message.max.bytes"),
    ConfigurationKey(
      name: "message.timestamp.after.max.ms", type: .long(0...Int64.max),
      defaultValue: String(defaults.timestampAfterMaxMilliseconds),
      documentation: "How far a record's timestamp may lie ahead of the broker's clock, in milliseconds (CreateTime only).",
      nodeKey: "log.message.timestamp.after.max.ms"),
    ConfigurationKey(
      name: "message.timestamp.before.max.ms", type: .long(0...Int64.max),
      defaultValue: String(defaults.timestampBeforeMaxMilliseconds),
      documentation: "How far a record's timestamp may lie behind the broker's clock, in milliseconds (CreateTime only).",
      nodeKey: "log.message.timestamp.before.max.ms"),
    ConfigurationKey(
      name: "message.timestamp.type", type: .string(oneOf: TimestampType.allCases.map(\.rawValue)),
      defaultValue: defaults.timestampType.rawValue,
      documentation: "Whether records carry their producer's time or the time of their append.",
      nodeKey: "log.message.timestamp.type"),
    ConfigurationKey(
      name: "min.insync.replicas", type: .int(1...Int64(Int32.max)), defaultValue: String(defaults.minInSyncReplicas),
      documentation: "How many replicas must be in sync for a produce with acks=all to be accepted.",
      nodeKey: "min.insync.replicas"),
    ConfigurationKey(
      name: "quire.columns", type: .string(oneOf: nil), defaultValue: "",
      documentation:
        "Declared columns and indexes: a JSON array of `{\"name\", \"type\", \"expression\", \"indexed\", \"fulltext\"}`; "
        + "`{\"name\": \"key\", \"indexed\": true}` indexes a column that is there anyway.",
      rule: { text in
        do throws(ColumnSyntaxError) { _ = try DeclaredColumn.list(text) } catch { return error.description }
        return nil
      }),
    ConfigurationKey(
      name: "quire.durability", type: .string(oneOf: Durability.allCases.map(\.rawValue)),
      defaultValue: defaults.durability.rawValue,
      documentation: "`fsync`: a produce is acknowledged once it is on disk. `os`: once the operating system has it.",
      nodeKey: "quire.durability"),
    ConfigurationKey(
      name: "quire.mirror.shifts", type: .string(oneOf: nil), defaultValue: "",
      documentation:
        "Of a mirror: what is added to the source's offsets in each partition (`0:0,1:-20`). Written by `quire mirror`."),
    ConfigurationKey(
      name: "quire.mirror.source", type: .string(oneOf: nil), defaultValue: "",
      documentation:
        "The topic this one is a mirror of (`cluster/topic/topic id`): it takes no records but from there. Written by `quire mirror`."
    ),
    ConfigurationKey(
      name: "retention.bytes", type: .long(-1...Int64.max), defaultValue: String(defaults.retentionBytes),
      documentation: "Bytes of batches kept in each partition before its oldest segments are deleted; -1 without bound.",
      nodeKey: "log.retention.bytes"),
    ConfigurationKey(
      name: "retention.ms", type: .long(-1...Int64.max), defaultValue: String(defaults.retentionMilliseconds),
      documentation: "Milliseconds a segment is kept after its newest record's timestamp; -1 for ever.",
      nodeKey: "log.retention.ms"),
    ConfigurationKey(
      name: "segment.bytes", type: .int(1024...Int64(Int32.max)), defaultValue: String(defaults.segmentBytes),
      documentation:
        "Bytes of batches after which a new segment is begun. A segment is never larger than \(Limits.segmentFileBytesMax) bytes.",
      nodeKey: "log.segment.bytes"),
    ConfigurationKey(
      name: "segment.ms", type: .long(1...Int64.max), defaultValue: String(defaults.segmentMilliseconds),
      documentation: "Milliseconds after its first append at which a segment is followed by a new one.",
      nodeKey: "log.roll.ms"),
    ConfigurationKey(
      name: "unclean.leader.election.enable", type: .boolean, defaultValue: String(defaults.allowsUncleanElection),
      documentation:
        "Whether a partition whose in-sync replicas are all gone rather loses what was acknowledged than waits for one of them.",
      nodeKey: "unclean.leader.election.enable"),
  ]

  private static let defaults = TopicConfiguration()
}

extension TopicConfiguration {
  /// The configuration in force, given how to look up the text of each topic key.
  ///
  /// - Parameter value: the text for a topic key; it has passed the key's rule before it was stored. Text that does not parse
  ///   (a database written by a version with other rules) leaves the default.
  public static func resolve(_ value: (ConfigurationKey) -> String) -> TopicConfiguration {
    var result = TopicConfiguration()
    for key in ConfigurationKey.topicKeys { result.set(key.name, to: ConfigurationKey.trimmed(value(key))) }
    return result
  }

  private mutating func set(_ name: String, to text: String) {
    switch name {
    case "cleanup.policy": break  // `delete` is the only one, and always in force
    case "compression.type": compression = CompressionPolicy(rawValue: text) ?? compression
    case "max.message.bytes": maxMessageBytes = Int32(text) ?? maxMessageBytes
    case "message.timestamp.after.max.ms": timestampAfterMaxMilliseconds = Int64(text) ?? timestampAfterMaxMilliseconds
    case "message.timestamp.before.max.ms": timestampBeforeMaxMilliseconds = Int64(text) ?? timestampBeforeMaxMilliseconds
    case "message.timestamp.type": timestampType = TimestampType(rawValue: text) ?? timestampType
    case "min.insync.replicas": minInSyncReplicas = Int32(text) ?? minInSyncReplicas
    case "quire.columns": columns = text
    case "quire.durability": durability = Durability(rawValue: text) ?? durability
    case "quire.mirror.shifts": break  // read by `quire mirror` alone
    case "quire.mirror.source": mirrorSource = text
    case "retention.bytes": retentionBytes = Int64(text) ?? retentionBytes
    case "retention.ms": retentionMilliseconds = Int64(text) ?? retentionMilliseconds
    case "segment.bytes": segmentBytes = min(Int64(text) ?? segmentBytes, Int64(Limits.segmentFileBytesMax))
    case "segment.ms": segmentMilliseconds = Int64(text) ?? segmentMilliseconds
    case "unclean.leader.election.enable": allowsUncleanElection = text.lowercased() == "true"
    default: preconditionFailure("the topic key \(name) is in the table but sets nothing")
    }
  }
}
