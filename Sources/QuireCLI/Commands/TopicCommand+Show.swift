internal import ArgumentParser
internal import Export
internal import KafkaClient
internal import Model

extension TopicCommand {
  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "List all topics.", discussion: "  quire topic list --format json")

    @Option(help: ArgumentHelp("table or json.", valueName: "format"))
    var format: ListFormat = .table

    @OptionGroup var client: ClientOptions

    func run() async throws {
      let topics = try await client.withClient { try await $0.topics() }
      let output = OutputStream.standardOutput()
      switch format {
      case .table:
        var table = TextTable([("TOPIC", .left), ("PARTITIONS", .right), ("REPLICAS", .right), ("ID", .left)])
        for topic in topics {
          table.row(
            topic.name, "\(topic.partitions.count)", "\(topic.partitions.first?.replicas.count ?? 0)", topic.topicID.description
          )
        }
        try output.write(table.text)
      case .json:
        try output.line(
          JSON.array(
            topics.map { topic in
              .object([
                ("topic", .string(topic.name)), ("topic_id", .string(topic.topicID.description)),
                ("partitions", .number(topic.partitions.count)),
                ("replication_factor", .number(topic.partitions.first?.replicas.count ?? 0)),
              ])
            }
          ).text)
      }
      try output.flush()
    }
  }

  struct Describe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Show a topic's partitions, offsets and settings.", discussion: "  quire topic describe plays")

    @Argument(help: "Names of the topics.")
    var topics: [String]

    @Option(help: ArgumentHelp("table or json.", valueName: "format"))
    var format: ListFormat = .table

    @OptionGroup var client: ClientOptions

    func run() async throws {
      let described = try await client.withClient { [topics] client in
        var described: [DescribedTopic] = []
        for topic in topics { described.append(try await DescribedTopic.ask(client, topic)) }
        return described
      }
      let output = OutputStream.standardOutput()
      switch format {
      case .table: try output.write(described.map(\.table).joined(separator: "\n"))
      case .json: try output.line(JSON.array(described.map(\.json)).text)
      }
      try output.flush()
    }
  }
}

/// What `topic describe` shows.
private struct DescribedTopic: Sendable {
  var topic: TopicDescription
  var starts: [TopicPartition: Int64]
  var ends: [TopicPartition: Int64]
  var settings: [TopicSetting]

  static func ask(_ client: KafkaClient, _ name: String) async throws -> DescribedTopic {
    let topic = try await client.topic(name)
    return DescribedTopic(
      topic: topic, starts: try await client.offsets(.earliest, of: topic.topicPartitions).compactMapValues { $0 },
      ends: try await client.offsets(.latest, of: topic.topicPartitions).compactMapValues { $0 },
      settings: try await client.describeConfiguration(ofTopic: name, keys: nil))
  }

  private func offsets(_ index: Int32) -> (start: Int64, end: Int64) {
    let partition = TopicPartition(topic: topic.name, partition: index)
    return (starts[partition] ?? 0, ends[partition] ?? 0)
  }

  var table: String {
    var table = TextTable([
      ("PARTITION", .right), ("LEADER", .right), ("REPLICAS", .left), ("IN SYNC", .left), ("START", .right), ("END", .right),
      ("RECORDS", .right),
    ])
    for partition in topic.partitions {
      let (start, end) = offsets(partition.index)
      table.row(
        "\(partition.index)", "\(partition.leaderID)", partition.replicas.map(String.init).joined(separator: ","),
        partition.inSyncReplicas.map(String.init).joined(separator: ","), "\(start)", "\(end)", "\(end - start)")
    }
    var text = "topic \(topic.name), id \(topic.topicID)\n" + table.text
    for setting in settings where setting.isOwn { text += "\(setting.key)=\(setting.value ?? "")\n" }
    return text
  }

  var json: JSON {
    .object([
      ("topic", .string(topic.name)), ("topic_id", .string(topic.topicID.description)),
      (
        "partitions",
        .array(
          topic.partitions.map { partition in
            let (start, end) = offsets(partition.index)
            return .object([
              ("partition", .number(partition.index)), ("leader", .number(partition.leaderID)),
              ("leader_epoch", .number(partition.leaderEpoch)), ("replicas", .array(partition.replicas.map(JSON.number))),
              ("in_sync_replicas", .array(partition.inSyncReplicas.map(JSON.number))), ("log_start_offset", .number(start)),
              ("high_watermark", .number(end)),
            ])
          })
      ),
      (
        "settings",
        .array(
          settings.map {
            .object([("key", .string($0.key)), ("value", .optional($0.value)), ("is_own", .bool($0.isOwn))])
          })
      ),
    ])
  }
}
