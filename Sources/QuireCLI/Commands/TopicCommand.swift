internal import ArgumentParser
internal import KafkaClient
internal import Model

struct TopicCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "topic", abstract: "Create, list, describe, alter and delete topics.",
    subcommands: [Create.self, List.self, Describe.self, Alter.self, Delete.self])

  /// Reads `KEY=VALUE`.
  static func settings(_ texts: [String]) throws -> [(key: String, value: String)] {
    try texts.map { text in
      guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
        throw ValidationError("'\(text)' is not KEY=VALUE (--topic-config)")
      }
      return (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }
  }

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Create topics.",
      discussion: "  quire topic create plays --partitions 4 --topic-config retention.ms=86400000")

    @Argument(help: "Names of the topics.")
    var topics: [String]

    @Option(help: ArgumentHelp("Partitions of each (default: the node's num.partitions).", valueName: "count"))
    var partitions: Int32?

    @Option(help: ArgumentHelp("Copies of each partition (default: the node's).", valueName: "count"))
    var replicationFactor: Int16?

    @Option(help: ArgumentHelp("A setting of the topic, in Kafka's names; repeatable.", valueName: "key=value"))
    var topicConfig: [String] = []

    @OptionGroup var client: ClientOptions

    func validate() throws {
      for topic in topics { if let complaint = TopicName.complaint(about: topic) { throw ValidationError(complaint) } }
      if let partitions, partitions < 1 { throw ValidationError("--partitions is a number from 1") }
      if let replicationFactor, replicationFactor < 1 { throw ValidationError("--replication-factor is a number from 1") }
      _ = try settings(topicConfig)
    }

    func run() async throws {
      let settings = try settings(topicConfig)
      try await client.withClient { [topics, partitions, replicationFactor] client in
        for topic in topics {
          try await client.createTopic(
            topic, partitionCount: partitions, replicationFactor: replicationFactor, configuration: settings)
          say("created topic '\(topic)'")
        }
      }
    }
  }

  struct Alter: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Give a topic more partitions or other settings.",
      discussion: """
        A setting without a value goes back to its default.

          quire topic alter plays --partitions 8 --topic-config retention.ms=
        """)

    @Argument(help: "Name of the topic.")
    var topic: String

    @Option(help: ArgumentHelp("Partitions it is to have.", valueName: "count"))
    var partitions: Int32?

    @Option(help: ArgumentHelp("A setting of the topic, in Kafka's names; repeatable.", valueName: "key=value"))
    var topicConfig: [String] = []

    @OptionGroup var client: ClientOptions

    func validate() throws {
      if partitions == nil, topicConfig.isEmpty { throw ValidationError("nothing to alter: --partitions or --topic-config") }
      if let partitions, partitions < 1 { throw ValidationError("--partitions is a number from 1") }
      _ = try settings(topicConfig)
    }

    func run() async throws {
      let settings = try settings(topicConfig).map { (key: $0.key, value: $0.value.isEmpty ? nil : $0.value) }
      try await client.withClient { [topic, partitions] client in
        if !settings.isEmpty { try await client.alterConfiguration(ofTopic: topic, settings) }
        if let partitions { try await client.createPartitions(of: topic, count: partitions) }
        say("altered topic '\(topic)'")
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Delete topics with everything in them.", discussion: "  quire topic delete plays")

    @Argument(help: "Names of the topics.")
    var topics: [String]

    @OptionGroup var client: ClientOptions

    func run() async throws {
      try await client.withClient { [topics] client in
        for topic in topics {
          try await client.deleteTopic(topic)
          say("deleted topic '\(topic)'")
        }
      }
    }
  }
}
