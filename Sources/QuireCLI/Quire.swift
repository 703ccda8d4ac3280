internal import ArgumentParser
internal import Model

/// The root of the command line.
struct Quire: AsyncParsableCommand {
  static let version = programVersion

  static let configuration = CommandConfiguration(
    commandName: "quire",
    abstract: "An event store that speaks Kafka's protocol and keeps every partition in SQLite files.",
    discussion: """
      Start a node, put lines in, read them back, ask questions:

        quire serve &
        quire topic create plays --partitions 4
        quire produce plays --file plays.txt
        quire consume plays --max 3
        quire query 'SELECT count(*) FROM plays'
      """,
    version: "quire \(version)",
    groupedSubcommands: [
      CommandGroup(
        name: "Node",
        subcommands: [ServeCommand.self, ClusterCommand.self, MirrorCommand.self, DoctorCommand.self, PagesCommand.self]),
      CommandGroup(
        name: "Kafka client",
        subcommands: [TopicCommand.self, ColumnCommand.self, ProduceCommand.self, ConsumeCommand.self, GroupCommand.self]),
      CommandGroup(
        name: "History", subcommands: [QueryCommand.self, ExportCommand.self, ImportCommand.self]),
    ])
}
