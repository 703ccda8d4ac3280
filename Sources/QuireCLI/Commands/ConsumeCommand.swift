internal import ArgumentParser
internal import KafkaClient
internal import Model
internal import Query

struct ConsumeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "consume",
    abstract: "Print a topic's records, each on its line.",
    discussion: """
      Without --follow it ends where the topic ended when it began. --format lines prints values as they are, --format jsonl whole \
      records as `quire export` writes them. With --group it goes on where the group left off, and commits what was printed.

        quire consume plays --from -10m --format jsonl
        quire consume plays --follow --group billing
      """)

  @Argument(help: "The topic.")
  var topic: String

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Where to begin: \(Position.forms). Default: the beginning; with --follow alone the end. In a group: where nothing is "
        + "committed.", valueName: "position"))
  var from: String?

  @Option(help: ArgumentHelp("Read as a member of this consumer group.", valueName: "group"))
  var group: String?

  @Option(help: ArgumentHelp("End after this many records.", valueName: "count"))
  var max: Int?

  @Flag(help: "Wait for new records at the end, until Ctrl-C.")
  var follow = false

  @Option(help: ArgumentHelp("lines or jsonl.", valueName: "format"))
  var format: RecordFormat = .lines

  @OptionGroup var client: ClientOptions

  func validate() throws {
    if let complaint = TopicName.complaint(about: topic) { throw ValidationError(complaint) }
    if let from { _ = try Position.parse(from, option: "--from") }
    if let max, max < 0 { throw ValidationError("--max is a number from 0") }
    if group == "" { throw ValidationError("--group is empty") }
  }

  func run() async throws {
    let named = try from.map { try Position.parse($0, option: "--from") }
    let start = named ?? (follow && group == nil ? .end : .beginning)
    try await client.withClient { [topic, group, max, follow, format] client in
      let partitions = try await client.topic(topic).topicPartitions
      let printer = RecordPrinter(format: format, recordsMax: max ?? .max, output: .standardOutput())
      if let group {
        let reader = GroupReader(
          client: client, printer: printer, start: start, isFollowing: follow,
          member: GroupMember(client: client, group: group, topics: [topic]))
        try await reader.run()
      } else {
        try await TopicReader.run(
          client: client, printer: printer, partitions: partitions, start: start, isFollowing: follow)
      }
    }
  }
}
