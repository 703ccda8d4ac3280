internal import ArgumentParser
internal import Export
internal import KafkaClient
internal import Model
internal import Query

struct GroupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "group", abstract: "List, describe, reset and delete consumer groups.",
    subcommands: [List.self, Describe.self, ResetOffsets.self, Delete.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List all groups.", discussion: "  quire group list")

    @Option(help: ArgumentHelp("table or json.", valueName: "format"))
    var format: ListFormat = .table

    @OptionGroup var client: ClientOptions

    func run() async throws {
      let groups = try await client.withClient { try await $0.groups() }
      let output = OutputStream.standardOutput()
      switch format {
      case .table:
        var table = TextTable([("GROUP", .left), ("STATE", .left), ("TYPE", .left)])
        for group in groups { table.row(group.groupID, group.state, group.protocolType) }
        try output.write(table.text)
      case .json:
        try output.line(
          JSON.array(
            groups.map {
              .object([
                ("group", .string($0.groupID)), ("state", .string($0.state)), ("protocol_type", .string($0.protocolType)),
              ])
            }
          ).text)
      }
      try output.flush()
    }
  }

  struct Describe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Show how far a group has come in each partition, and who reads it.",
      discussion: "  quire group describe billing")

    @Argument(help: "The group.")
    var group: String

    @Option(help: ArgumentHelp("table or json.", valueName: "format"))
    var format: ListFormat = .table

    @OptionGroup var client: ClientOptions

    func run() async throws {
      let described = try await client.withClient { [group] in try await DescribedGroup.ask($0, group) }
      let output = OutputStream.standardOutput()
      switch format {
      case .table: try output.write(described.table)
      case .json: try output.line(described.json.text)
      }
      try output.flush()
    }
  }

  struct ResetOffsets: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Set where a group goes on reading. It must not have members at the time.",
      discussion: "  quire group reset-offsets billing --topic plays --to 2025-03-09T14:30")

    @Argument(help: "The group.")
    var group: String

    @Option(help: ArgumentHelp("A topic; repeatable (default: every topic the group has read).", valueName: "topic"))
    var topic: [String] = []

    @Option(parsing: .unconditional, help: ArgumentHelp("Where to go on: \(Position.forms).", valueName: "position"))
    var to: String

    @Option(help: ArgumentHelp("table or json.", valueName: "format"))
    var format: ListFormat = .table

    @OptionGroup var client: ClientOptions

    func validate() throws {
      _ = try Position.parse(to, option: "--to")
    }

    func run() async throws {
      let position = try Position.parse(to, option: "--to")
      let offsets = try await client.withClient { [group, topic] client in
        var topics = topic
        if topics.isEmpty {
          topics = Set(try await client.committedOffsets(of: group, partitions: nil).keys.map(\.topic)).sorted()
        }
        if topics.isEmpty { throw CommandFailure("group '\(group)' has read nothing yet; name a topic (--topic)") }
        var partitions: [TopicPartition] = []
        for topic in topics { partitions += try await client.topic(topic).topicPartitions }
        let starts = try await StartOffsets.find(position, in: partitions, client)
        let offsets = starts.mapValues(\.position)
        try await client.commit(offsets, group: group)
        return offsets
      }
      let rows = offsets.sorted { $0.key < $1.key }
      let output = OutputStream.standardOutput()
      switch format {
      case .table:
        var table = TextTable([("TOPIC", .left), ("PARTITION", .right), ("OFFSET", .right)])
        for (partition, offset) in rows { table.row(partition.topic, "\(partition.partition)", "\(offset)") }
        try output.write(table.text)
      case .json:
        try output.line(
          JSON.array(
            rows.map { partition, offset in
              .object([
                ("topic", .string(partition.topic)), ("partition", .number(partition.partition)),
                ("committed_offset", .number(offset)),
              ])
            }
          ).text)
      }
      try output.flush()
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Delete groups and the offsets they have committed.", discussion: "  quire group delete billing")

    @Argument(help: "The groups.")
    var groups: [String]

    @OptionGroup var client: ClientOptions

    func run() async throws {
      try await client.withClient { [groups] client in
        for group in groups {
          try await client.deleteGroup(group)
          say("deleted group '\(group)'")
        }
      }
    }
  }
}

/// What `group describe` shows.
private struct DescribedGroup: Sendable {
  struct Row: Sendable {
    var partition: TopicPartition
    var committed: Int64?
    var end: Int64?
    var member: GroupDescription.Member?

    var lag: Int64? { committed.flatMap { committed in end.map { max(0, $0 - committed) } } }
  }

  var group: GroupDescription
  var rows: [Row]

  static func ask(_ client: KafkaClient, _ name: String) async throws -> DescribedGroup {
    let group = try await client.describeGroup(name)
    let committed = try await client.committedOffsets(of: name, partitions: nil)
    if group.state == "Dead", committed.isEmpty { throw CommandFailure("group '\(name)' does not exist") }
    var members: [TopicPartition: GroupDescription.Member] = [:]
    for member in group.members { for partition in member.partitions { members[partition] = member } }
    var ends: [TopicPartition: Int64] = [:]
    let partitions = Set(committed.keys).union(members.keys)
    // A topic may be gone while the group's offsets in it are still there: then the end is unknown, not an error.
    let existing = Set(try await client.topics().flatMap(\.topicPartitions))
    ends = try await client.offsets(.latest, of: partitions.intersection(existing).sorted()).compactMapValues { $0 }
    let rows = partitions.sorted().map {
      Row(partition: $0, committed: committed[$0], end: ends[$0], member: members[$0])
    }
    return DescribedGroup(group: group, rows: rows)
  }

  var table: String {
    var table = TextTable([
      ("TOPIC", .left), ("PARTITION", .right), ("COMMITTED", .right), ("END", .right), ("LAG", .right), ("MEMBER", .left),
      ("HOST", .left),
    ])
    func text(_ number: Int64?) -> String { number.map(String.init) ?? "-" }
    for row in rows {
      table.row(
        row.partition.topic, "\(row.partition.partition)", text(row.committed), text(row.end), text(row.lag),
        row.member?.memberID ?? "-", row.member?.clientHost ?? "-")
    }
    let count = group.members.count
    return "group \(group.groupID), \(group.state), \(count) \(count == 1 ? "member" : "members")\n" + table.text
  }

  var json: JSON {
    func number(_ value: Int64?) -> JSON { value.map(JSON.number) ?? .null }
    return .object([
      ("group", .string(group.groupID)), ("state", .string(group.state)), ("protocol_type", .string(group.protocolType)),
      ("protocol", .string(group.protocolName)),
      (
        "members",
        .array(
          group.members.map {
            .object([
              ("member_id", .string($0.memberID)), ("client_id", .string($0.clientID)), ("host", .string($0.clientHost)),
            ])
          })
      ),
      (
        "partitions",
        .array(
          rows.map { row in
            .object([
              ("topic", .string(row.partition.topic)), ("partition", .number(row.partition.partition)),
              ("committed_offset", number(row.committed)), ("high_watermark", number(row.end)), ("lag", number(row.lag)),
              ("member_id", .optional(row.member?.memberID)),
            ])
          })
      ),
    ])
  }
}
