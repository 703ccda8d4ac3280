extension ConfigurationKey {
  /// Every configuration of a node there is.
  public static let nodeKeys: [ConfigurationKey] =
    identityKeys + memberKeys + topicDefaultKeys + clientKeys + groupKeys + storageKeys + clusterKeys + doorKeys + peerKeys

  private static let identityKeys: [ConfigurationKey] = [
    ConfigurationKey(
      name: "node.id", aliases: ["broker.id"], type: .int(0...Int64(Int32.max)), defaultValue: "1",
      documentation: "This broker's number in its cluster."),
    ConfigurationKey(
      name: "log.dirs", aliases: ["data.dir", "log.dir"], type: .string(oneOf: nil), defaultValue: "./quire-data",
      documentation: "The directory everything is kept in; exactly one.",
      rule: { $0.isEmpty ? "it must not be empty" : $0.contains(",") ? "only one directory is supported" : nil }),
    ConfigurationKey(
      name: "listeners", aliases: ["listen"], type: .string(oneOf: nil), defaultValue: "127.0.0.1:9092",
      documentation: "HOST:PORT to accept Kafka clients on. Port 0 takes a free one.",
      rule: { HostPort.complaint(about: $0, allowsPortZero: true) }),
    ConfigurationKey(
      name: "advertised.listeners", aliases: ["advertise"], type: .string(oneOf: nil), defaultValue: "",
      documentation: "HOST:PORT clients are told to connect to; empty for the listener's own.",
      rule: { $0.isEmpty ? nil : HostPort.complaint(about: $0, allowsPortZero: true) }),
  ]

  /// The node's values for topics that do not set a key themselves, with Kafka's names for them.
  private static let topicDefaultKeys: [ConfigurationKey] = topicKeys.compactMap { key in
    guard let name = key.nodeKey else { return nil }
    return ConfigurationKey(
      name: name, type: key.type, defaultValue: key.defaultValue,
      documentation: "For topics without their own \(key.name). \(key.documentation)", isDynamic: true, rule: key.rule)
  }

  private static let clientKeys: [ConfigurationKey] = [
    ConfigurationKey(
      name: "num.partitions", type: .int(1...Int64(Limits.partitionsPerTopicMax)), defaultValue: "4",
      documentation: "Partitions of a topic that is created without saying how many."),
    ConfigurationKey(
      name: "default.replication.factor", type: .int(1...Int64(Int16.max)), defaultValue: "1",
      documentation: "Nodes that keep each partition of a topic that is created without saying how many."),
    ConfigurationKey(
      name: "auto.create.topics.enable", type: .boolean, defaultValue: "true",
      documentation: "Whether asking for the metadata of a topic that does not exist creates it."),
    ConfigurationKey(
      name: "max.connections", type: .int(1...Int64(Int32.max)), defaultValue: String(Limits.connectionsMax),
      documentation: "Kafka connections open at once; a further one is closed."),
    ConfigurationKey(
      name: "connections.max.idle.ms", type: .long(1000...Int64.max), defaultValue: "600000",
      documentation: "Milliseconds after which a Kafka connection without requests is closed."),
    ConfigurationKey(
      name: "socket.request.max.bytes", type: .int(1024...Int64(Int32.max)), defaultValue: String(Limits.requestBytesMax),
      documentation: "The largest request of a Kafka client, in bytes."),
    ConfigurationKey(
      name: "queued.max.request.bytes", type: .long(1 << 20...Int64.max), defaultValue: String(Limits.queuedRequestBytesMax),
      documentation:
        "Bytes of requests of all Kafka clients together that have arrived and wait, for their turn or for the disk; then no client is read."
    ),
    ConfigurationKey(
      name: "max.incremental.fetch.session.cache.slots", type: .int(0...Int64(Int32.max)), defaultValue: "1000",
      documentation: "Incremental fetch sessions kept; a client without one names all its partitions in each fetch."),
    ConfigurationKey(
      name: "num.network.threads", type: .int(0...256), defaultValue: "0",
      documentation: "Threads that serve connections; 0 for one for each processor."),
  ]

  private static let groupKeys: [ConfigurationKey] = [
    ConfigurationKey(
      name: "group.initial.rebalance.delay.ms", type: .int(0...Int64(Int32.max)), defaultValue: "3000",
      documentation: "Milliseconds an empty group waits for more members before its first rebalance."),
    ConfigurationKey(
      name: "group.max.session.timeout.ms", type: .int(0...Int64(Int32.max)), defaultValue: "1800000",
      documentation: "The longest session timeout a group member may ask for, in milliseconds."),
    ConfigurationKey(
      name: "group.min.session.timeout.ms", type: .int(0...Int64(Int32.max)), defaultValue: "6000",
      documentation: "The shortest session timeout a group member may ask for, in milliseconds."),
    ConfigurationKey(
      name: "group.max.size", type: .int(1...Int64(Int32.max)), defaultValue: String(Int32.max),
      documentation: "Members a group may have."),
    ConfigurationKey(
      name: "offset.metadata.max.bytes", type: .int(0...Int64(Int32.max)),
      defaultValue: String(Limits.committedOffsetMetadataBytesMax),
      documentation: "Bytes of text a member may store with a committed offset."),
    ConfigurationKey(
      name: "offsets.retention.minutes", type: .int(1...Int64(Int32.max)), defaultValue: "10080",
      documentation: "Minutes the committed offsets of a group without members are kept."),
    ConfigurationKey(
      name: "offsets.retention.check.interval.ms", type: .long(1...Int64.max), defaultValue: "600000",
      documentation: "Milliseconds between two looks for committed offsets to drop."),
  ]

  private static let clusterKeys: [ConfigurationKey] = [
    ConfigurationKey(
      name: "broker.session.timeout.ms", type: .int(2000...300_000), defaultValue: "6000",
      documentation:
        "Milliseconds after which a node that says nothing is gone for the others; one whose process has ended is so at once."),
    ConfigurationKey(
      name: "auto.leader.rebalance.enable", type: .boolean, defaultValue: "true",
      documentation: "Whether partitions are led by their preferred replica again when it is back and in sync."),
    ConfigurationKey(
      name: "leader.imbalance.check.interval.seconds", type: .int(1...Int64(Int32.max)), defaultValue: "300",
      documentation: "Seconds between two looks for partitions that their preferred replica could lead."),
    ConfigurationKey(
      name: "offsets.topic.replication.factor", type: .int(1...Int64(Int16.max)), defaultValue: "3",
      documentation: "Nodes that keep groups and their offsets, or all nodes while there are fewer."),
  ]

  private static let storageKeys: [ConfigurationKey] = [
    ConfigurationKey(
      name: "log.retention.check.interval.ms", type: .long(1...Int64.max), defaultValue: "300000",
      documentation: "Milliseconds between two looks for segments to roll or to delete."),
    ConfigurationKey(
      name: "quire.storage.lanes", type: .int(0...64), defaultValue: "0",
      documentation: "Threads that write partitions; 0 leaves their number to the node."),
    ConfigurationKey(
      name: "quire.open.databases", type: .int(8...100_000), defaultValue: String(Limits.openDatabasesMax),
      documentation: "Segment databases open at once; each costs up to four descriptors."),
    ConfigurationKey(
      name: "quire.checkpoint.bytes", type: .int(65_536...Int64(Limits.segmentFileBytesMax)),
      defaultValue: String(Limits.checkpointBytes),
      documentation: "Bytes of a write-ahead log at which it is checkpointed."),
    ConfigurationKey(
      name: "quire.wal.bytes", type: .int(1 << 20...Int64(Limits.segmentFileBytesMax)),
      defaultValue: String(Limits.walBytesMax),
      documentation:
        "Bytes of a write-ahead log that readers keep from being reused at which its segment is followed by a new one."),
    ConfigurationKey(
      name: "quire.group.commit.bytes", type: .int(65_536...Int64(Limits.segmentFileBytesMax)),
      defaultValue: String(Limits.groupCommitBytesMax),
      documentation: "Bytes of record batches that are committed and synced together at most."),
    ConfigurationKey(
      name: "quire.log.tail.bytes", type: .int(0...Int64(Int32.max)), defaultValue: String(Limits.logTailBytesMax),
      documentation: "Bytes of memory for the newest batches of all partitions together."),
  ]

  private static let doorKeys: [ConfigurationKey] = [
    ConfigurationKey(
      name: "quire.http", aliases: ["http"], type: .string(oneOf: nil), defaultValue: "127.0.0.1:8080",
      documentation: "HOST:PORT of the HTTP interface, or `off`. Port 0 takes a free one.",
      rule: { $0 == "off" ? nil : HostPort.complaint(about: $0, allowsPortZero: true) }),
    ConfigurationKey(
      name: "quire.postgres", aliases: ["postgres"], type: .string(oneOf: nil), defaultValue: "127.0.0.1:5433",
      documentation: "HOST:PORT on which SQL tools connect as to a Postgres server, or `off`. Port 0 takes a free one.",
      rule: { $0 == "off" ? nil : HostPort.complaint(about: $0, allowsPortZero: true) }),
    ConfigurationKey(
      name: "quire.postgres.connections", type: .int(1...10_000), defaultValue: String(Limits.postgresConnectionsMax),
      documentation: "Postgres connections open at once; a further one is refused."),
    ConfigurationKey(
      name: "quire.query.concurrency", type: .int(1...64), defaultValue: "16",
      documentation: "SQL statements and exports running at once, each on a thread of low priority; a further one is refused."),
    ConfigurationKey(
      name: "quire.query.followers", type: .int(0...1024), defaultValue: String(Limits.queryFollowersMax),
      documentation: "SQL statements over HTTP at once that are followed, each with a thread; a further one is refused."),
    ConfigurationKey(
      name: "quire.query.stall.ms", type: .int(1...Int64(Int32.max)), defaultValue: String(Limits.queryStallMilliseconds),
      documentation:
        "Milliseconds a client over HTTP may take nothing of an answer that waits for it; its connection is closed then."),
    ConfigurationKey(
      name: "quire.query.timeout.ms", type: .int(1...Int64(Int32.max)), defaultValue: "60000",
      documentation:
        "Milliseconds an SQL statement over HTTP or the Postgres protocol may run, not counting what it waits for its client."),
    ConfigurationKey(
      name: "quire.log.format", type: .string(oneOf: ["text", "json"]), defaultValue: "text",
      documentation: "How log lines are written to standard error: text or JSON Lines."),
    ConfigurationKey(
      name: "quire.log.level", type: .string(oneOf: ["trace", "debug", "info", "notice", "warning", "error", "critical"]),
      defaultValue: "info", documentation: "The least severe log lines that are written."),
  ]
}
